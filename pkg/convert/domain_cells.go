package convert

import (
	"fmt"
	"strconv"

	"libvirt.org/go/libvirtxml"
)

// setGuestCells gives the guest a NUMA cell for each cell of its placement, in
// their order, and binds the memory of each to the host's. vCPUs are dealt to
// them as Pins does.
//
// Only guest memory is bound, cell by cell: a <memory> element would bind QEMU's
// own memory too, which the placement leaves floating. Distances are libvirt's
// defaults, as hosts report them in the common case: 10 within a cell, 20 to
// another.
func setGuestCells(domain *libvirtxml.Domain, cells []placedCell) {
	domain.NUMATune = nil
	if domain.CPU != nil {
		domain.CPU.Numa = nil
	}
	if !bindMemory(cells) {
		return
	}
	if domain.CPU == nil {
		domain.CPU = &libvirtxml.DomainCPU{}
	}
	domain.CPU.Numa = &libvirtxml.DomainNuma{}
	domain.NUMATune = &libvirtxml.DomainNUMATune{}
	vcpu := 0
	for i, cell := range cells {
		id := uint(i)
		domain.CPU.Numa.Cell = append(domain.CPU.Numa.Cell, libvirtxml.DomainCell{
			ID:     &id,
			CPUs:   numbers(vcpu, cell.vcpus),
			Memory: cell.memoryKiB,
			Unit:   "KiB",
		})
		vcpu += cell.vcpus
		domain.NUMATune.MemNodes = append(domain.NUMATune.MemNodes, libvirtxml.DomainNUMATuneMemNode{
			CellID:  id,
			Mode:    "strict",
			Nodeset: strconv.Itoa(int(cell.id)),
		})
	}
}

// numbers lists n numbers from first on as libvirt does; empty when n is 0.
func numbers(first, n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return strconv.Itoa(first)
	}
	return fmt.Sprintf("%d-%d", first, first+n-1)
}
