// What is told of one host or one VM beside the map.

import { element } from "./picture.js";
import { about, bytes, count, kind, measures, memoryOf, percent } from "./words.js";

function facts(...pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === "" || value === false) continue;
    list.append(element("dt", {}, name), element("dd", {}, value));
  }
  return list;
}

function section(title, ...content) {
  return element("section", {}, element("h3", {}, title), ...content);
}

function head(title, close) {
  return element("div", { class: "head" }, element("h2", { id: "details-title" }, title),
    element("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "✕"));
}

function vmButton(vm, choose) {
  return element("button", { type: "button", class: "row", onclick: () => choose({ vm: `${vm.namespace}/${vm.name}` }), "aria-label": about(vm) },
    element("span", { class: `dot ${kind(vm)}` }), element("span", { class: "grow" }, `${vm.namespace}/${vm.name}`),
    element("span", { class: "quiet" }, `${count(vm.cpu, "vCPU")} · ${bytes(vm.memory)}`));
}

function amountsTable(host) {
  const names = Object.keys(measures).filter(n => !n.startsWith("huge") || host[n][1] || host[n][0]);
  const row = (title, amounts) => element("tr", {}, element("th", { scope: "row" }, title),
    ...names.map(n => element("td", {}, element("span", {}, measures[n].free(amounts[n][1] - amounts[n][0]).replace(" free", "")), element("small", {}, measures[n].of(...amounts[n]), " used"))));
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, element("td"), ...names.map(n => element("th", { scope: "col" }, measures[n].name)))),
    element("tbody", {}, row("host", host), ...(host.cells || []).map(c => row(`cell ${c.id}`, c)))));
}

// hostDetails tells of a host, as the map knows it.
export function hostDetails(host, vms, { choose, close }) {
  const content = [head(host.name, close)];
  if (host.partial) {
    content.push(element("p", { class: "quiet" }, "You may not list hypervisors: of this host only your VMs are shown."));
  } else {
    content.push(facts(["State", (host.ready ? "ready" : "not ready") + (host.schedulable ? "" : ", takes no new VMs") + (host.simulated ? ", simulated" : "")],
      ["Fullness", Object.keys(measures).filter(n => host[n][1]).map(n => `${measures[n].name} ${percent(host[n])}`).join(", ")]));
    if (host.notes?.length) content.push(section("Out of the ordinary", element("ul", {}, ...host.notes.map(n => element("li", {}, n)))));
    content.push(section("Free", amountsTable(host)));
    for (const cell of host.cells || []) if (cell.dedicated) content.push(element("p", { class: "quiet" }, `Cell ${cell.id}: ${count(cell.dedicated, "host CPU")} of ${cell.cpus} dedicated or kept idle.`));
  }
  const hidden = host.partial ? 0 : host.vms - vms.length;
  content.push(section(count(vms.length, "VM"), ...vms.map(vm => vmButton(vm, choose)),
    hidden > 0 && element("p", { class: "quiet" }, `and ${hidden} more that you may not list, which are counted above`)));
  return content;
}

// vmDetails tells of a VM; why is what the server answered, or undefined while it is
// asked, and failed what went wrong.
export function vmDetails(vm, why, failed, { choose, close }) {
  const status = why?.status || {}, spec = why?.spec || {};
  const host = vm.host && element("button", { type: "button", class: "link", onclick: () => choose({ host: vm.host }) }, vm.host);
  const content = [head(`${vm.namespace}/${vm.name}`, close),
    element("p", { class: `state ${kind(vm)}` }, element("span", { class: `dot ${kind(vm)}` }), vm.waits ? "waits for a host" : vm.phase)];
  const message = status.message || vm.message;
  if (message) content.push(element("p", { class: "message" }, (status.reason || vm.reason) && element("strong", {}, `${status.reason || vm.reason}: `), message));
  content.push(facts(["Host", host || (vm.waits ? "none yet" : "none")], ["Room is made on", vm.nominated],
    ["Cells", (vm.cells || []).map(c => `cell ${c.id}: ${[c.cpu && count(c.cpu, "vCPU"), c.memory && bytes(c.memory), c.cpus && `host CPUs ${c.cpus}`].filter(Boolean).join(", ")}`).join("; ") || (vm.host && "bound to no cell")],
    [vm.host ? "Granted" : "Asks for", `${count(vm.cpu, "vCPU")}, ${memoryOf(vm)}${status.overhead ? `, ${bytes(status.overhead)} for QEMU` : ""}`],
    ["NUMA policy", spec.numa], ["CPU policy", spec.cpuPolicy], ["Class", spec.class], ["Priority class", spec.priorityClass], ["Scheduler", spec.scheduler],
    ["Devices", (status.devices || []).map(d => `${d.name ?? ""} ${d.address}`.trim()).join(", ")]));
  if (status.eviction) content.push(section("Eviction", element("p", {}, `${status.eviction.reason}: ${status.eviction.message || ""}`)));
  if (status.hold) content.push(section("Held", element("p", {}, `${status.hold.reason}: ${status.hold.message || ""}. It waits until its spec is changed.`)));
  if (status.excluded?.length) content.push(section("Hosts that refused it", element("ul", {}, ...status.excluded.map(e => element("li", {}, `${e.nodeName}: ${e.message || ""} (until ${new Date(e.until).toLocaleTimeString()})`)))));
  if (failed) content.push(section("Why", element("p", { class: "failed" }, failed)));
  else if (!why) content.push(section("Why", element("p", { class: "quiet", role: "status" }, "asking vm-scheduler …")));
  else content.push(...reviewed(vm, why, choose));
  return content;
}

function reviewed(vm, why, choose) {
  const review = why.review;
  if (!review) return [section("Why", element("p", { class: "failed" }, why.unanswered || "there is no answer"))];
  const content = [section("Why", element("p", { id: "why" }, review.message))];
  const link = name => element("button", { type: "button", class: "link", onclick: () => choose({ host: name }) }, name);
  if (review.candidates?.length) {
    const best = Math.max(1, ...review.candidates.map(c => c.score));
    content.push(section(`Fits on ${review.feasible} of ${count(review.hosts, "host")}`, element("ol", { class: "scores" }, ...review.candidates.map(c =>
      element("li", { class: c.nodeName === vm.host ? "here" : undefined },
        element("details", {}, element("summary", {}, element("span", { class: "grow" }, c.nodeName, c.nodeName === vm.host ? " (here)" : ""),
          element("meter", { min: 0, max: best, value: c.score, "aria-hidden": "true" }), element("span", { class: "score" }, `${c.score}`)),
          facts(...(c.plugins || []).map(p => [p.name, `${p.score}`])), link(c.nodeName)))))));
  }
  if (review.rejections?.length) {
    content.push(section(review.feasible ? "What other hosts lack" : "What rejects it", element("ul", { class: "rejections" }, ...review.rejections.map(r => {
      const names = r.nodeNames || [];
      return element("li", {}, element("details", { open: review.rejections.length <= 3 }, element("summary", {}, element("strong", {}, count(r.hosts, "host")), ` ${r.reason}`, element("small", {}, ` ${r.plugin}${r.evictable ? "; could evict" : ""}`)),
        element("p", { class: "names" }, ...names.flatMap((n, i) => i ? [" ", link(n)] : [link(n)]), names.length < r.hosts && ` and ${r.hosts - names.length} more`)));
    }))));
  }
  if (review.changes?.length) content.push(section("What would have to change", element("ul", { class: "changes" }, ...review.changes.map(c => element("li", {}, c)))));
  if (why.conditions?.length) {
    content.push(element("details", { class: "conditions" }, element("summary", {}, "Conditions"), element("ul", {}, ...why.conditions.map(c =>
      element("li", {}, element("strong", {}, `${c.type} ${c.status}`), ` ${c.reason}`, c.message && `: ${c.message}`)))));
  }
  return content;
}
