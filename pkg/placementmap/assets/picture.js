// Hosts as pictures. Text goes into elements by textContent alone.

import { about, bytes, count, kind, level, measures, percent, ratio } from "./words.js";

const space = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const e = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// element makes an HTML element; a property named on... is a handler.
export function element(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "class") e.className = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.filter(c => c !== null && c !== undefined && c !== false));
  return e;
}

const width = 292, left = 34, right = 84;
const bar = width - left - right;
const gaugeHeight = 13, laneHeight = 16;

function text(x, y, said, attributes = {}) {
  const t = svg("text", { x, y, ...attributes });
  t.textContent = said;
  return t;
}

// gauge is one line: what, how full, what is free.
function gauge(y, name, amount) {
  const m = measures[name], full = Math.min(1, ratio(amount));
  const g = svg("g", { class: "gauge" },
    text(0, y + 9, m.label),
    svg("rect", { x: left, y: y + 2, width: bar, height: 8, rx: 2, class: "trough" }));
  if (full > 0) g.append(svg("rect", { x: left, y: y + 2, width: Math.max(1.5, bar * full), height: 8, rx: 2, class: `use${level(amount)}` }));
  g.append(text(width, y + 9, m.free(amount[1] - amount[0]), { "text-anchor": "end", class: "free" }));
  const title = svg("title", {});
  title.textContent = `${m.name}: ${m.of(...amount)} used`;
  g.append(title);
  return g;
}

function gauges(y, amounts) {
  const g = svg("g", {});
  for (const name of Object.keys(measures)) {
    if (name.startsWith("huge") && !amounts[name][1] && !amounts[name][0]) continue;
    g.append(gauge(y, name, amounts[name]));
    y += gaugeHeight;
  }
  return [g, y];
}

// lane shows VMs side by side, as wide as their share of the vCPUs.
function lane(y, vms, total, cpuOf, matches, chosen) {
  const g = svg("g", { class: "lane" }, svg("rect", { x: left, y, width: width - left, height: laneHeight - 3, rx: 2, class: "trough" }));
  const sum = vms.reduce((n, vm) => n + cpuOf(vm), 0);
  const scale = (width - left) / Math.max(total, sum, 1);
  let x = left;
  for (const vm of vms) {
    const w = Math.max(2, cpuOf(vm) * scale);
    const r = svg("rect", { x, y, width: Math.max(1.5, w - 1), height: laneHeight - 3, rx: 2, class: `vm ${kind(vm)}${matches(vm) ? "" : " dim"}${chosen === `${vm.namespace}/${vm.name}` ? " chosen" : ""}`, "data-vm": `${vm.namespace}/${vm.name}` });
    const title = svg("title", {});
    title.textContent = about(vm);
    r.append(title);
    g.append(r);
    if (w > 46) {
      const label = text(x + 4, y + 10, vm.name.length * 5.6 > w - 8 ? vm.name.slice(0, Math.floor((w - 12) / 5.6)) + "…" : vm.name, { class: "label" });
      g.append(label);
    }
    x += w;
  }
  return g;
}

function cellCPU(vm, id) { return vm.cells?.find(c => c.id === id)?.cpu || 0; }

// cellsPicture is a host with its NUMA cells and the VMs in them, of which the chosen
// one is marked.
export function cellsPicture(host, vms, matches, chosen) {
  const picture = svg("svg", { role: "img", "aria-label": describe(host, vms) });
  let y = 0, drawn;
  if (!host.partial) {
    [drawn, y] = gauges(y, host);
    picture.append(drawn);
  }
  const unbound = vms.filter(vm => !vm.cells?.length);
  if (unbound.length || host.partial) {
    picture.append(text(0, y + 12, "VMs"), lane(y + 2, host.partial ? vms : unbound, host.partial ? 0 : host.cpu[1], vm => vm.cpu, matches, chosen));
    y += laneHeight + 2;
  }
  for (const cell of host.cells || []) {
    y += 4;
    const frame = svg("rect", { x: -4, y, width: width + 8, rx: 4, class: "cell" });
    picture.append(frame);
    const from = y;
    y += 4;
    const title = svg("title", {});
    title.textContent = `NUMA cell ${cell.id}: host CPUs ${cell.cpus}${cell.dedicated ? `, ${cell.dedicated} of them dedicated` : ""}`;
    const label = text(0, y + 10, `cell ${cell.id}`, { class: "cellname" });
    label.append(title);
    picture.append(label, lane(y, vms.filter(vm => vm.cells?.some(c => c.id === cell.id)), cell.cpu[1], vm => cellCPU(vm, cell.id), matches, chosen));
    y += laneHeight;
    [drawn, y] = gauges(y, cell);
    picture.append(drawn);
    y += 2;
    frame.setAttribute("height", y - from);
  }
  picture.setAttribute("viewBox", `-5 0 ${width + 10} ${y + 2}`);
  return picture;
}

// fleetPicture is a host as a tile: a line for each of what it has.
export function fleetPicture(host, vms) {
  const w = 86;
  const picture = svg("svg", { width: w, height: 30, viewBox: `0 0 ${w} 30`, role: "img", "aria-label": describe(host, vms) });
  let y = 1;
  for (const name of Object.keys(measures)) {
    const amount = host.partial ? [0, 0] : host[name];
    if (!amount[1]) continue;
    picture.append(svg("rect", { x: 0, y, width: w, height: 5, rx: 1.5, class: "trough" }));
    const full = Math.min(1, ratio(amount));
    if (full > 0) picture.append(svg("rect", { x: 0, y, width: Math.max(1.5, w * full), height: 5, rx: 1.5, class: `use${level(amount)}` }));
    y += 7;
  }
  return picture;
}

// describe is a host in words, for who hears the map.
export function describe(host, vms) {
  if (host.partial) return `${host.name}: ${count(vms.length, "VM")} of yours`;
  const said = [`${host.name}: ${host.ready ? "ready" : "not ready"}`, count(host.vms, "VM"), `${percent(host.cpu)} of ${host.cpu[1]} vCPUs used`, `${bytes(host.memory[1] - host.memory[0])} of memory free`];
  for (const name of ["hugepages2Mi", "hugepages1Gi"]) if (host[name][1]) said.push(`${measures[name].name}: ${measures[name].of(...host[name])} used`);
  return said.concat(host.notes || []).join(", ");
}
