// How amounts are said. Pure.

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// bytes says an amount of memory with one decimal: 1.5 GiB.
export function bytes(n) {
  const sign = n < 0 ? "-" : "";
  let v = Math.abs(n), i = 0;
  while (v >= 1024 && i < units.length - 1) { v /= 1024; i++; }
  return `${sign}${Number(v.toFixed(1))} ${units[i]}`;
}

export function number(n) { return n.toLocaleString("en"); }

export const measures = {
  cpu: { label: "CPU", name: "vCPUs", free: n => `${number(n)} free`, of: (u, t) => `${number(u)} of ${number(t)} vCPUs` },
  memory: { label: "mem", name: "memory", free: n => `${bytes(n)} free`, of: (u, t) => `${bytes(u)} of ${bytes(t)}` },
  hugepages2Mi: { label: "2Mi", name: "2 MiB pages", ...pages(2 ** 21) },
  hugepages1Gi: { label: "1Gi", name: "1 GiB pages", ...pages(2 ** 30) },
};

function pages(size) {
  const count = n => Math.floor(n / size);
  return { free: n => `${number(count(n))} free`, of: (u, t) => `${number(count(u))} of ${number(count(t))} pages` };
}

// ratio is how full something is; 0 where there is nothing of it.
export function ratio([used, total]) { return total > 0 ? used / total : used > 0 ? 1 : 0; }

export function percent(amount) { return `${Math.round(100 * ratio(amount))}%`; }

// level is one of five, by which things are coloured; 0 is empty.
export function level(amount) {
  const r = ratio(amount);
  return r <= 0 ? 0 : r < 0.5 ? 1 : r < 0.75 ? 2 : r < 0.9 ? 3 : 4;
}

export const levels = ["empty", "under 50%", "under 75%", "under 90%", "90% and more"];

// memoryOf says a VM's memory, with the pages that it lies in.
export function memoryOf(vm) { return bytes(vm.memory) + (vm.pageSize ? ` in ${vm.pageSize} pages` : ""); }

export function count(n, one, many = one + "s") { return `${number(n)} ${n === 1 ? one : many}`; }

// kind is the class by which a VM is coloured.
export function kind(vm) {
  if (vm.waits) return "waits";
  switch (vm.phase) {
    case "Running": return "runs";
    case "Failed": case "Invalid": return "failed";
    case "Stopped": case "Ended": case "Suspended": return "off";
    default: return "between";
  }
}

// about is a VM in a sentence.
export function about(vm) {
  const where = vm.cells?.length ? `, cell ${vm.cells.map(c => c.id).join(" and ")}` : "";
  return `${vm.namespace}/${vm.name}: ${vm.phase}, ${count(vm.cpu, "vCPU")}, ${memoryOf(vm)}${where}`;
}
