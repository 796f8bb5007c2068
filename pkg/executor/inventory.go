package executor

import (
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/libvirt"
)

// physical is what the host has to share out: its CPUs, its memory without the
// hugepage pools, and the pools.
func physical(d libvirt.Description) capacity.Resources {
	r := capacity.Resources{CPU: d.CPUs}
	r.Hugepages2Mi, r.Hugepages1Gi = d.Pages.Bytes()
	r.Memory = d.Memory - r.Hugepages2Mi - r.Hugepages1Gi
	return r.Floor()
}

// allCPUs are the host's CPUs.
func allCPUs(d libvirt.Description) cpuset.CPUSet {
	all := cpuset.New()
	for _, c := range d.Cells {
		cpus, _ := cpuset.Parse(c.CPUs)
		all = all.Union(cpus)
	}
	return all
}

// reportedCells are the host's cells as a Hypervisor has them.
func reportedCells(in []libvirt.Cell) []v1alpha1.Cell {
	var out []v1alpha1.Cell
	for _, c := range in {
		cell := v1alpha1.Cell{ID: c.ID, CPUs: c.CPUs, Siblings: c.Siblings, Memory: c.Memory, Hugepages: pools(c.Pages)}
		for _, d := range c.Distances {
			cell.Distances = append(cell.Distances, v1alpha1.CellDistance{Cell: d.Cell, Distance: d.Value})
		}
		out = append(out, cell)
	}
	return out
}

func pools(p libvirt.Pages) []v1alpha1.PagePool {
	var out []v1alpha1.PagePool
	if p.Size2Mi > 0 {
		out = append(out, v1alpha1.PagePool{Size: v1alpha1.PageSize2Mi, Total: p.Size2Mi})
	}
	if p.Size1Gi > 0 {
		out = append(out, v1alpha1.PagePool{Size: v1alpha1.PageSize1Gi, Total: p.Size1Gi})
	}
	return out
}

// cellResources is what a cell has: CPUs, ordinary memory, and its pools.
func cellResources(c *v1alpha1.Cell) capacity.Resources {
	cpus, _ := cpuset.Parse(c.CPUs)
	r := capacity.Resources{CPU: int64(cpus.Size())}
	for _, p := range c.Hugepages {
		switch p.Size {
		case v1alpha1.PageSize2Mi:
			r.Hugepages2Mi = p.Total << 21
		case v1alpha1.PageSize1Gi:
			r.Hugepages1Gi = p.Total << 30
		}
	}
	r.Memory = c.Memory - r.Hugepages2Mi - r.Hugepages1Gi
	return r.Floor()
}

func domainTypes(in []libvirt.DomainType) []v1alpha1.DomainType {
	var out []v1alpha1.DomainType
	for _, t := range in {
		out = append(out, v1alpha1.DomainType{
			Type: t.Type, Arch: t.Arch, Machines: t.Machines,
			CPUModels: t.CPUModels, CPUFeatures: t.CPUFeatures, Firmware: t.Firmware, SecureBoot: t.SecureBoot,
		})
	}
	return out
}

// usual are the devices that a domain is taken to have where they are not known.
var usual = capacity.Devices{
	Disks: 1, DiskTables: 32 << 20, Interfaces: 1, Graphics: 1, VideoMemory: 16 << 20,
	TranslationCache: capacity.TranslationCache,
}

// usage is what a domain that is not accounted to a binding takes: its own
// resources, and what QEMU takes with the usual devices.
func usage(d libvirt.Domain) capacity.Resources {
	granted := v1alpha1.GrantedResources{CPU: int32(d.CPU), Memory: d.Memory, PageSize: pageSize(d)}
	granted.Overhead = capacity.Overhead(granted.CPU, granted.Memory, granted.PageSize, usual)
	return capacity.FromGranted(granted)
}

// pageSize is the size of the pages that a domain's guest lies in, as far as
// hosts have pools of it.
func pageSize(d libvirt.Domain) v1alpha1.PageSize {
	switch d.PageSize {
	case 0:
		return ""
	case 1 << 30:
		return v1alpha1.PageSize1Gi
	}
	return v1alpha1.PageSize2Mi
}
