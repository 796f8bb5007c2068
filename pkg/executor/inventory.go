package executor

import (
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

// usage is what a domain that is not accounted to a binding takes: its own
// resources, and QEMU's overhead.
func usage(d libvirt.Domain) capacity.Resources {
	r := capacity.Resources{CPU: d.CPU, Memory: capacity.Overhead(int32(d.CPU), d.Memory)}
	switch d.PageSize {
	case 0:
		r.Memory += d.Memory
	case 1 << 30:
		r.Hugepages1Gi = d.Memory
	default:
		r.Hugepages2Mi = d.Memory
	}
	return r
}
