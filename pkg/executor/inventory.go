package executor

import (
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

// usual are the devices that a domain is taken to have where they are not known.
var usual = capacity.Devices{
	Disks: 1, DiskTables: 32 << 20, Interfaces: 1, Graphics: 1, VideoMemory: 16 << 20,
	TranslationCache: capacity.TranslationCache,
}

// usage is what a domain that is not accounted to a binding takes: its own
// resources, and what QEMU takes with the usual devices.
func usage(d libvirt.Domain) capacity.Resources {
	granted := v1alpha1.GrantedResources{CPU: int32(d.CPU), Memory: d.Memory}
	switch d.PageSize {
	case 0:
	case 1 << 30:
		granted.PageSize = v1alpha1.PageSize1Gi
	default:
		granted.PageSize = v1alpha1.PageSize2Mi
	}
	granted.Overhead = capacity.Overhead(granted.CPU, granted.Memory, granted.PageSize, usual)
	return capacity.FromGranted(granted)
}
