// The map: keeps what the server tells, and has what has changed drawn.

import { hostDetails, vmDetails } from "./details.js";
import { cellsPicture, describe, element, fleetPicture } from "./picture.js";
import { about, count, level, levels, measures, percent, ratio } from "./words.js";

const $ = id => document.getElementById(id);
const none = [];

// What is known. vms and hosts are by name, placed are the VMs by host.
const vms = new Map(), hosts = new Map(), placed = new Map();
let rights = { hosts: true, everywhere: true }, cursor = "";

// What is shown: cards by host, which of them are in sight, and which are to be
// drawn anew. A card out of sight is not drawn.
const cards = new Map(), inSight = new Set(), stale = new Set();
let selected = null, orderStale = true, scheduled = false, waitingStale = true;

// ---- what the server tells

function setVM(name, vm) {
  const before = vms.get(name);
  if (before) {
    if (before.waits || vm?.waits) waitingStale = true;
    if (before.host) { placed.get(before.host)?.delete(name); touch(before.host); }
    vms.delete(name);
  } else if (vm?.waits) waitingStale = true;
  if (!vm) return;
  vms.set(name, vm);
  if (!vm.host) return;
  if (!placed.has(vm.host)) placed.set(vm.host, new Map());
  placed.get(vm.host).set(name, vm);
  touch(vm.host);
}

function touch(host) {
  stale.add(host);
  if (cards.has(host) === shown(host)) return;
  orderStale = true;
}

// take takes over a document of the server's: everything, or what has changed.
function take(document) {
  cursor = document.cursor;
  rights = document.rights;
  for (const h of document.hosts) {
    if (!hosts.has(h.name)) orderStale = true;
    hosts.set(h.name, h);
    stale.add(h.name);
  }
  for (const vm of document.vms) setVM(`${vm.namespace}/${vm.name}`, vm);
  for (const [namespace, name] of document.gone) {
    if (namespace) setVM(`${namespace}/${name}`, null);
    else if (hosts.delete(name)) { stale.add(name); orderStale = true; }
  }
}

function hostOf(name) { return hosts.get(name) || { name, partial: true, ready: true, schedulable: true }; }

function vmsOf(name) { return [...(placed.get(name)?.values() || none)].sort(byName); }

function byName(a, b) { return collator.compare(a.namespace, b.namespace) || collator.compare(a.name, b.name); }
const collator = new Intl.Collator("en", { numeric: true });

// ---- what is asked for

const wanted = { namespace: "", host: "", vm: "", measure: "cpu", order: "name", view: "" };

function matches(vm) {
  return (!wanted.namespace || vm.namespace === wanted.namespace) && (!wanted.vm || vm.name.includes(wanted.vm));
}

function shown(name) {
  if (wanted.host && !name.includes(wanted.host)) return false;
  const here = placed.get(name);
  if (!hosts.has(name) && !here?.size) return false;
  if (!wanted.namespace && !wanted.vm) return true;
  for (const vm of here?.values() || none) if (matches(vm)) return true;
  return false;
}

for (const id of Object.keys(wanted)) {
  $(id).addEventListener(id === "host" || id === "vm" ? "input" : "change", () => {
    wanted[id] = $(id).value.trim();
    for (const name of cards.keys()) stale.add(name);
    orderStale = waitingStale = true;
    schedule();
  });
}

// ---- drawing

function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => { scheduled = false; draw(); });
}

function draw() {
  const began = performance.now();
  if (orderStale) arrange();
  for (const name of stale) if (inSight.has(name) && cards.has(name)) drawCard(name);
  for (const name of [...stale]) if (inSight.has(name) || !cards.has(name)) stale.delete(name);
  summarize();
  if (waitingStale) drawWaiting();
  drawDetails();
  performance.measure("draw", { start: began, end: performance.now() });
  if (inSight.size && !performance.getEntriesByName("drawn").length) performance.mark("drawn");
}

const watcher = new IntersectionObserver(entries => {
  for (const e of entries) {
    const name = e.target.dataset.host;
    if (e.isIntersecting) { inSight.add(name); if (stale.has(name)) schedule(); } else inSight.delete(name);
  }
}, { rootMargin: "300px" });

// arrange has a card for each host that is to be shown, in order.
function arrange() {
  orderStale = false;
  if (!wanted.view) {
    // Until somebody chooses: pictures that fit a screen.
    wanted.view = hosts.size > 80 ? "fleet" : "cells";
    $("view").value = wanted.view;
  }
  const list = $("hosts");
  if (list.dataset.view !== wanted.view) {
    list.dataset.view = wanted.view;
    $("lines").hidden = wanted.view !== "fleet";
    for (const name of cards.keys()) stale.add(name);
  }
  const names = new Set([...hosts.keys(), ...placed.keys()]);
  const order = [...names].filter(shown).map(hostOf);
  const full = h => h.partial ? 0 : ratio(h[wanted.measure]);
  order.sort((a, b) => (wanted.order === "full" ? full(b) - full(a) : wanted.order === "free" ? full(a) - full(b) : 0) || collator.compare(a.name, b.name));
  const keep = new Set(order.map(h => h.name));
  for (const [name, card] of cards) {
    if (keep.has(name)) continue;
    watcher.unobserve(card);
    card.remove();
    cards.delete(name);
    inSight.delete(name);
  }
  let at = list.firstElementChild;
  const fragment = document.createDocumentFragment();
  for (const { name } of order) {
    let card = cards.get(name);
    if (card && card === at) { at = at.nextElementSibling; continue; }
    if (!card) {
      card = element("li", { class: "host", tabindex: "-1", "data-host": name });
      cards.set(name, card);
      stale.add(name);
      watcher.observe(card);
    }
    if (at) list.insertBefore(card, at); else fragment.append(card);
  }
  list.append(fragment);
  if (!list.querySelector('[tabindex="0"]') && list.firstElementChild) list.firstElementChild.tabIndex = 0;
  $("none").hidden = order.length > 0;
  const spaces = [...new Set([...vms.values()].map(vm => vm.namespace))].sort();
  const select = $("namespace");
  if (spaces.join() !== [...select.options].slice(1).map(o => o.value).join()) {
    select.replaceChildren(element("option", { value: "" }, "all"), ...spaces.map(n => element("option", { value: n }, n)));
    select.value = spaces.includes(wanted.namespace) ? wanted.namespace : "";
    wanted.namespace = select.value;
  }
}

function drawCard(name) {
  const card = cards.get(name), host = hostOf(name), here = vmsOf(name);
  const amount = host.partial ? [0, 0] : host[wanted.measure];
  card.className = `host use${level(amount)}${host.ready ? "" : " away"}${host.schedulable ? "" : " closed"}${selected?.host === name || here.some(vm => selected?.vm === `${vm.namespace}/${vm.name}`) ? " selected" : ""}`;
  card.setAttribute("aria-label", describe(host, here));
  const badge = host.ready ? (host.schedulable ? "" : "cordoned") : "not ready";
  const known = host.partial ? here.length : host.vms;
  const title = element("div", { class: "title" }, element("span", { class: "name" }, name), badge && element("span", { class: "badge" }, badge),
    wanted.view === "fleet" ? element("span", { class: "quiet" }, `${known}`) : element("span", { class: "quiet" }, `${count(known, "VM")}${host.partial ? "" : ` · ${percent(amount)}`}`));
  card.title = wanted.view === "fleet" ? describe(host, here) : (host.notes || none).join("\n");
  card.replaceChildren(title, wanted.view === "fleet" ? fleetPicture(host, here) : cellsPicture(host, here, matches, selected?.vm));
}

function summarize() {
  const sums = { cpu: [0, 0], memory: [0, 0], hugepages2Mi: [0, 0], hugepages1Gi: [0, 0] };
  let away = 0;
  for (const h of hosts.values()) {
    if (!h.ready) away++;
    for (const [name, sum] of Object.entries(sums)) { sum[0] += h[name][0]; sum[1] += h[name][1]; }
  }
  let waiting = 0;
  for (const vm of vms.values()) if (vm.waits) waiting++;
  const said = [count(hosts.size || placed.size, "host") + (away ? ` (${away} not ready)` : ""), count(vms.size, "VM"), `${waiting} waiting`];
  for (const [name, sum] of Object.entries(sums)) if (sum[1]) said.push(`${measures[name].name} ${percent(sum)}`);
  const list = $("summary");
  if (list.textContent !== said.join("")) list.replaceChildren(...said.map(s => element("li", {}, s)));
}

// mostWaiting is how many VMs that wait are listed; filters find the others.
const mostWaiting = 60;

function drawWaiting() {
  waitingStale = false;
  const all = [...vms.values()].filter(vm => vm.waits && matches(vm)).sort(byName);
  $("waiting").hidden = all.length === 0;
  $("waiting-title").textContent = `Waiting (${all.length})`;
  const list = $("waiting").querySelector("ul");
  const focused = document.activeElement?.dataset?.vm;
  list.replaceChildren(...all.slice(0, mostWaiting).map(vm => element("li", {},
    element("button", { type: "button", class: "pending", "data-vm": `${vm.namespace}/${vm.name}`, title: vm.message, "aria-label": `${about(vm)}. ${vm.message || "not tried yet"}` },
      element("span", { class: "dot waits" }), element("b", {}, `${vm.namespace}/${vm.name}`), element("span", { class: "quiet" }, vm.message || "not tried yet")))));
  if (all.length > mostWaiting) list.append(element("li", { class: "quiet" }, `and ${all.length - mostWaiting} more: look for them by name`));
  if (focused) list.querySelector(`[data-vm="${CSS.escape(focused)}"]`)?.focus();
}

// ---- one host or VM

let why, failed, whyOf = "", shownAs = "", asked = 0;

function choose(what) {
  const before = selected;
  selected = what;
  for (const s of [before, what]) {
    const at = s?.host || vms.get(s?.vm)?.host;
    if (at) stale.add(at);
  }
  why = failed = undefined;
  whyOf = shownAs = "";
  history.replaceState(null, "", what ? `#${what.vm ? "vm=" + what.vm : "host=" + what.host}` : "#");
  schedule();
}

function close() {
  const was = selected;
  choose(null);
  const back = was?.host || vms.get(was?.vm)?.host;
  focusCard(cards.get(back)) || $("waiting").querySelector(`[data-vm="${CSS.escape(was?.vm || "")}"]`)?.focus();
}

function drawDetails() {
  const panel = $("details");
  if (!selected) { panel.hidden = true; panel.replaceChildren(); return; }
  const vm = selected.vm && vms.get(selected.vm);
  const host = selected.host && (hosts.get(selected.host) || placed.has(selected.host)) ? hostOf(selected.host) : null;
  // A VM that changes may be where it is for another reason.
  const now = vm ? JSON.stringify(vm) : "";
  if (vm && now !== whyOf) { whyOf = now; ask(vm); }
  const as = JSON.stringify([selected, vm || host, host && vmsOf(host.name), why, failed]);
  if (as === shownAs) return;
  const fresh = shownAs === "" && panel.dataset.of !== JSON.stringify(selected);
  shownAs = as;
  const scroll = panel.scrollTop, with_ = { choose, close };
  const content = vm ? vmDetails(vm, why, failed, with_) : host ? hostDetails(host, vmsOf(host.name), with_)
    : [element("div", { class: "head" }, element("h2", { id: "details-title" }, selected.vm || selected.host), element("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "✕")), element("p", {}, "It is gone, or you may not list it.")];
  const inside = panel.contains(document.activeElement);
  panel.replaceChildren(...content);
  panel.hidden = false;
  panel.dataset.of = JSON.stringify(selected);
  if (fresh || inside) panel.focus({ preventScroll: true });
  panel.scrollTop = fresh ? 0 : scroll;
}

// ask asks why; what comes late of a question before is dropped.
async function ask(vm) {
  const mine = ++asked;
  let answer, wrong;
  try {
    const response = await fetch(`why?${new URLSearchParams({ namespace: vm.namespace, name: vm.name })}`);
    const said = await response.json();
    if (response.ok) answer = said; else wrong = said.message || response.statusText;
  } catch (e) {
    wrong = `vm-scheduler does not answer: ${e.message}`;
  }
  if (mine !== asked) return;
  why = answer; failed = wrong;
  schedule();
}

// ---- mouse and keyboard

function focusCard(card) {
  if (!card) return false;
  $("hosts").querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  card.tabIndex = 0;
  card.focus();
  return true;
}

document.addEventListener("click", e => {
  const vm = e.target.closest("[data-vm]");
  if (vm) return choose({ vm: vm.dataset.vm });
  const host = e.target.closest("[data-host]");
  if (host) choose({ host: host.dataset.host });
});

document.addEventListener("keydown", e => {
  if (e.key === "Escape" && selected) { e.preventDefault(); return close(); }
  if (e.altKey || e.ctrlKey || e.metaKey) return;
  if (e.key === "/" && !e.target.matches("input, select")) { e.preventDefault(); return $("vm").focus(); }
  const card = e.target.closest?.(".host");
  if (!card) return;
  if (e.key === "Enter" || e.key === " ") { e.preventDefault(); return choose({ host: card.dataset.host }); }
  const next = neighbour(card, e.key);
  if (next) { e.preventDefault(); focusCard(next); }
});

// neighbour is the card that a key leads to; up and down by where cards are.
function neighbour(card, key) {
  const list = $("hosts");
  switch (key) {
    case "ArrowRight": return card.nextElementSibling;
    case "ArrowLeft": return card.previousElementSibling;
    case "Home": return list.firstElementChild;
    case "End": return list.lastElementChild;
    case "ArrowDown": case "ArrowUp": {
      const step = key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
      for (let c = card[step]; c; c = c[step]) if (c.offsetLeft === card.offsetLeft) return c;
    }
  }
  return null;
}

// ---- following

function connection(said, state) {
  const c = $("connection");
  if (c.textContent !== said) c.textContent = said;
  c.dataset.state = state;
}

function notice(said) {
  $("notice").textContent = said;
  $("notice").hidden = !said;
}

function explainRights() {
  const said = [];
  if (!rights.hosts) said.push("You may not list hypervisors: hosts are shown as far as your VMs name them.");
  if (!rights.everywhere) said.push("VMs of namespaces in which you may not list virtualmachines are not shown" + (rights.hosts ? ", but counted." : "."));
  notice(said.join(" "));
}

// load gets everything, and again until it is there.
async function load() {
  for (let pause = 500; ; pause = Math.min(10000, pause * 2)) {
    try {
      const response = await fetch("state");
      const document = await response.json();
      if (response.ok) {
        for (const name of hosts.keys()) stale.add(name);
        vms.clear(); hosts.clear(); placed.clear();
        orderStale = waitingStale = true;
        take(document);
        explainRights();
        draw();
        return;
      }
      connection("no map", "away");
      notice(document.message || response.statusText);
      if (response.status === 403 || response.status === 401) pause = 10000;
    } catch (e) {
      connection("vm-scheduler does not answer, trying again", "away");
    }
    await new Promise(resolve => setTimeout(resolve, pause));
  }
}

let news = [], lastNews = 0;

// tell has who hears the map told what has changed, not more often than it can be
// said.
function tell(document) {
  news.push(...document.vms);
  if (Date.now() - lastNews < 3000 || !news.length) return;
  lastNews = Date.now();
  const last = news[news.length - 1];
  const said = last.waits ? "waits for a host" : last.host ? `${last.phase} on ${last.host}` : last.phase;
  $("news").textContent = `${news.length > 1 ? `${news.length} changes; ` : ""}${last.namespace}/${last.name} ${said}`;
  news = [];
}

let source = null, starting = false;

// follow goes on from the cursor. A page that nobody sees does not: browsers allow a
// site few connections for all its tabs.
function follow() {
  source?.close();
  source = null;
  if (document.hidden) return connection("paused while out of sight", "");
  source = new EventSource(`events?since=${encodeURIComponent(cursor)}`);
  source.onopen = () => connection("live", "live");
  source.onmessage = e => {
    const began = performance.now();
    const document = JSON.parse(e.data);
    take(document);
    tell(document);
    performance.measure("take", { start: began, end: performance.now() });
    schedule();
  };
  source.addEventListener("reset", start);
  source.onerror = e => {
    connection("reconnecting", "away");
    // The browser tries again by itself, unless it was refused.
    if (e.target === source && source.readyState === EventSource.CLOSED) setTimeout(start, 2000);
  };
}

document.addEventListener("visibilitychange", () => { if (!starting) follow(); });

async function start() {
  if (starting) return;
  starting = true;
  source?.close();
  await load();
  starting = false;
  follow();
}

function legend() {
  const parts = [["use0", levels[0]], ["use1", levels[1]], ["use2", levels[2]], ["use3", levels[3]], ["use4", levels[4]]];
  const kinds = [["runs", "runs"], ["between", "starts or stops"], ["off", "off, keeps its place"], ["failed", "failed"]];
  $("legend").append("empty", ...parts.map(([c, said]) => element("span", { class: `swatch ${c}`, title: said })), "full", ...kinds.flatMap(([c, said]) => [element("span", { class: `dot ${c}` }), said]));
}

function fromAddress() {
  const [what, ...rest] = decodeURIComponent(location.hash.slice(1)).split("=");
  const name = rest.join("=");
  if (name && (what === "vm" || what === "host")) selected = { [what]: name };
}

legend();
fromAddress();
start();
