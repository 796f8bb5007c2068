package libvirt

import (
	"cmp"
	"slices"

	"k8s.io/utils/cpuset"
	"libvirt.org/go/libvirtxml"
)

// Binding is what of the host a domain is tied to.
type Binding struct {
	// VCPUs has the host CPUs that each pinned vCPU may run on, in Linux list
	// format, by the vCPU's number. One that is not in it runs anywhere.
	VCPUs map[int]string
	// Emulator is the host CPUs that QEMU's other threads may run on, in Linux
	// list format; empty when they run anywhere.
	Emulator string
	// IOThreads is the same for each I/O thread, those that are pinned first.
	IOThreads []string
	// Cells is the guest's memory that lies in one host cell and in no other,
	// by ascending cell. Of memory that is bound to several cells each has an
	// even share.
	Cells []BoundMemory
}

// BoundMemory is guest memory that lies in one host cell.
type BoundMemory struct {
	Cell int32
	// Memory is in bytes.
	Memory int64
}

// bindingOf reads a domain as libvirt has it, whose guest has memory bytes in
// pages of unit bytes.
func bindingOf(d *libvirtxml.Domain, memory, unit int64) Binding {
	var out Binding
	pin := func(vcpu uint, cpus string) {
		if cpus == "" {
			return
		}
		if out.VCPUs == nil {
			out.VCPUs = map[int]string{}
		}
		out.VCPUs[int(vcpu)] = cpus
	}
	// The set of CPUs in <vcpu> is for every thread that has none of its own.
	if d.VCPU != nil {
		for vcpu := range d.VCPU.Value {
			pin(vcpu, d.VCPU.CPUSet)
		}
		out.Emulator = d.VCPU.CPUSet
	}
	if tune := d.CPUTune; tune != nil {
		for _, p := range tune.IOThreadPin {
			out.IOThreads = append(out.IOThreads, p.CPUSet)
		}
		for _, p := range tune.VCPUPin {
			pin(p.VCPU, p.CPUSet)
		}
		if tune.EmulatorPin != nil {
			out.Emulator = tune.EmulatorPin.CPUSet
		}
	}
	for uint(len(out.IOThreads)) < d.IOThreads {
		if d.VCPU != nil {
			out.IOThreads = append(out.IOThreads, d.VCPU.CPUSet)
			continue
		}
		out.IOThreads = append(out.IOThreads, "")
	}
	out.Cells = boundMemory(d, memory, unit)
	return out
}

// boundMemory deals the guest's memory to the host cells it is bound to. A
// guest cell follows its own <memnode>, everything else the <memory> of the
// whole domain.
func boundMemory(d *libvirtxml.Domain, memory, unit int64) []BoundMemory {
	if d.NUMATune == nil {
		return nil
	}
	cells := map[int32]int64{}
	bind := func(mode, nodeset string, amount int64) {
		nodes, err := cpuset.Parse(nodeset)
		if err != nil || !binds(mode) {
			return
		}
		for i, share := range deal(amount, unit, nodes.Size()) {
			cells[int32(nodes.List()[i])] += share
		}
	}
	rest := memory
	for _, n := range d.NUMATune.MemNodes {
		amount := guestCellMemory(d.CPU, n.CellID)
		bind(n.Mode, n.Nodeset, amount)
		rest -= amount
	}
	if m := d.NUMATune.Memory; m != nil {
		bind(m.Mode, m.Nodeset, rest)
	}
	var out []BoundMemory
	for cell, amount := range cells {
		if amount > 0 {
			out = append(out, BoundMemory{Cell: cell, Memory: amount})
		}
	}
	slices.SortFunc(out, func(a, b BoundMemory) int { return cmp.Compare(a.Cell, b.Cell) })
	return out
}

// binds says whether a mode of <numatune> keeps memory in its cells: the kernel
// may leave those of the others (preferred, interleave) when they are full.
func binds(mode string) bool {
	return mode == "" || mode == "strict" || mode == "restrictive" // strict is libvirt's default
}

// guestCellMemory is the memory in bytes of the guest's own NUMA cell.
func guestCellMemory(cpu *libvirtxml.DomainCPU, id uint) int64 {
	if cpu == nil || cpu.Numa == nil {
		return 0
	}
	for i, c := range cpu.Numa.Cell {
		if c.ID == nil && uint(i) == id || c.ID != nil && *c.ID == id {
			return int64(c.Memory) * unitBytes(c.Unit)
		}
	}
	return 0
}

// deal shares an amount out evenly in whole units; what does not divide goes to
// the first.
func deal(amount, unit int64, shares int) []int64 {
	out := make([]int64, shares)
	for i := range out {
		left := int64(shares - i)
		share := (amount + left*unit - 1) / (left * unit) * unit
		out[i] = min(share, amount)
		amount -= out[i]
	}
	return out
}
