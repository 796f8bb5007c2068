package libvirt

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/utils/cpuset"
	"libvirt.org/go/libvirtxml"
)

// parseCapabilities reads libvirt's capabilities document: cells with CPUs,
// memory, pages and distances, and what kinds of domains there are. Memory of
// the whole host is not in it.
func parseCapabilities(doc string) (Description, error) {
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(doc); err != nil {
		return Description{}, fmt.Errorf("reading libvirt's capabilities: %w", err)
	}
	var out Description
	if caps.Host.CPU != nil {
		out.Arch = caps.Host.CPU.Arch
	}
	if numa := caps.Host.NUMA; numa != nil && numa.Cells != nil {
		for _, c := range numa.Cells.Cells {
			cell := cellOf(c)
			out.CPUs += int64(countCPUs(c))
			out.Pages = out.Pages.Add(cell.Pages)
			out.Cells = append(out.Cells, cell)
		}
	}
	out.DomainTypes = domainTypes(caps.Guests, out.Arch)
	out.QEMU = qemuUser(caps.Host.SecModel)
	return out, nil
}

func countCPUs(c libvirtxml.CapsHostNUMACell) int {
	if c.CPUS == nil {
		return 0
	}
	return len(c.CPUS.CPUs)
}

func cellOf(c libvirtxml.CapsHostNUMACell) Cell {
	cell := Cell{ID: int32(c.ID)}
	if c.Memory != nil {
		cell.Memory = int64(c.Memory.Size) * unitBytes(c.Memory.Unit)
	}
	for _, pool := range c.PageInfo {
		switch int64(pool.Size) * unitBytes(pool.Unit) {
		case 2 << 20:
			cell.Pages.Size2Mi = int64(pool.Count)
		case 1 << 30:
			cell.Pages.Size1Gi = int64(pool.Count)
		}
	}
	if c.CPUS != nil {
		ids := make([]int, 0, len(c.CPUS.CPUs))
		for _, cpu := range c.CPUS.CPUs {
			ids = append(ids, cpu.ID)
		}
		cell.CPUs = cpuset.New(ids...).String()
		cell.Siblings = siblings(c.CPUS.CPUs)
	}
	if c.Distances != nil {
		for _, s := range c.Distances.Siblings {
			if s.ID != c.ID {
				cell.Distances = append(cell.Distances, Distance{Cell: int32(s.ID), Value: int32(s.Value)})
			}
		}
	}
	return cell
}

// siblings are the cores that have several threads, by their first.
func siblings(cpus []libvirtxml.CapsHostNUMACPU) []string {
	var cores []cpuset.CPUSet
	for _, cpu := range cpus {
		core, err := cpuset.Parse(cpu.Siblings)
		if err == nil && core.Size() > 1 && core.List()[0] == cpu.ID {
			cores = append(cores, core)
		}
	}
	slices.SortFunc(cores, func(a, b cpuset.CPUSet) int { return cmp.Compare(a.List()[0], b.List()[0]) })
	var out []string
	for _, core := range cores {
		out = append(out, core.String())
	}
	return out
}

// domainTypes lists what guests can be: KVM before others, and the host's own
// architecture before those it would emulate.
func domainTypes(guests []libvirtxml.CapsGuest, hostArch string) []DomainType {
	var out []DomainType
	for _, g := range guests {
		if g.OSType != "hvm" {
			continue
		}
		for _, d := range g.Arch.Domains {
			// A kind without machines of its own has those of the architecture.
			machines := d.Machines
			if len(machines) == 0 {
				machines = g.Arch.Machines
			}
			out = append(out, DomainType{Type: d.Type, Arch: g.Arch.Name, Machines: canonical(machines)})
		}
	}
	rank := func(d DomainType) int {
		r := 0
		if d.Arch != hostArch {
			r += 2
		}
		if d.Type != "kvm" {
			r++
		}
		return r
	}
	slices.SortStableFunc(out, func(a, b DomainType) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

func canonical(machines []libvirtxml.CapsGuestMachine) []string {
	var names []string
	for _, m := range machines {
		name := m.Name
		if m.Canonical != "" {
			name = m.Canonical
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// version writes libvirt's packed version number, 1000000*major + 1000*minor +
// release.
func version(n uint32) string {
	return fmt.Sprintf("%d.%d.%d", n/1_000_000, n/1_000%1_000, n%1_000)
}
