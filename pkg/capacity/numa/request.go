package numa

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Request is what a VM asks of a host.
type Request struct {
	// Granted is what the placement shall hold: vCPUs, bytes of guest memory
	// and of QEMU's own, and the size of pages.
	Granted v1alpha1.GrantedResources
	// NUMA, CPUPolicy and Threads are the policies; empty is their default.
	NUMA      v1alpha1.NUMAPolicy
	CPUPolicy v1alpha1.CPUPolicy
	Threads   v1alpha1.ThreadPolicy
	// Devices are the host devices to be passed through, each name once.
	Devices []v1alpha1.DeviceRequest
	// Grows is set when Granted is what a guest that runs there is to have more:
	// vCPUs, memory or both.
	Grows bool `json:",omitempty"`
}

// RequestOf is what a VM of this spec, which would be granted desired, asks for.
func RequestOf(spec *v1alpha1.VirtualMachineSpec, desired v1alpha1.GrantedResources) Request {
	return Request{
		Granted:   desired,
		NUMA:      spec.Resources.NUMA,
		CPUPolicy: spec.Resources.CPUPolicy,
		Threads:   spec.Resources.Threads,
		Devices:   spec.Resources.Devices,
	}
}

// Placement is the request granted on the node, lying as a says.
func (r *Request) Placement(node string, a Assignment) v1alpha1.Placement {
	return v1alpha1.Placement{NodeName: node, Granted: r.Granted, Cells: a.Cells, Devices: a.Devices}
}

// Amounts is all that the request asks of the host, wherever it lies there;
// dedicated CPUs count as vCPUs.
func (r *Request) Amounts() capacity.Resources { return capacity.FromGranted(r.Granted) }

// Totals is what the request takes of the host's totals. Dedicated CPUs are not
// in it: they are held against Usage.pinnable.
func (r *Request) Totals() capacity.Resources {
	n := r.Amounts()
	if r.Dedicated() {
		n.CPU = 0
	}
	return n
}

// Dedicated says whether each vCPU wants a host CPU of its own.
func (r *Request) Dedicated() bool { return r.CPUPolicy == v1alpha1.CPUDedicated }

// Floats says whether the request is for amounts alone: nothing of it is bound
// to a cell, a CPU or a device.
func (r *Request) Floats() bool { return r.floats() && len(r.Devices) == 0 }

func (r *Request) apart() bool { return r.Dedicated() && r.Threads == v1alpha1.ThreadsApart }

// bindsMemory says whether guest memory lies in cells; otherwise it floats.
func (r *Request) bindsMemory() bool { return r.NUMA != "" && r.NUMA != v1alpha1.NUMANone }

// floats says whether the request binds nothing to a cell.
func (r *Request) floats() bool { return !r.bindsMemory() && !r.Dedicated() }

// unknown names in words what of the request this package cannot count with,
// and is empty when there is nothing.
func (r *Request) unknown() string {
	p, known := poolOf(r.Granted.PageSize)
	switch {
	case !known:
		return "the page size is not known: use 2Mi or 1Gi"
	case r.Grows && (r.Granted.CPU < 0 || r.Granted.Memory < 0 || r.Granted.CPU == 0 && r.Granted.Memory == 0):
		return "a guest grows by CPUs or by memory"
	case !r.Grows && (r.Granted.CPU < 1 || r.Granted.Memory < 1):
		return "a VM needs at least one CPU and some memory"
	case p != ordinary && r.Granted.Memory%p.grain() != 0:
		return "guest memory is not a multiple of the page size: round it up to whole pages"
	case r.CPUPolicy != "" && r.CPUPolicy != v1alpha1.CPUShared && r.CPUPolicy != v1alpha1.CPUDedicated:
		return "the CPU policy is not known: use shared or dedicated"
	case r.Threads != "" && r.Threads != v1alpha1.ThreadsTogether && r.Threads != v1alpha1.ThreadsApart:
		return "the thread policy is not known: use together or apart"
	}
	for n := range r.Devices {
		for before := range n {
			if r.Devices[before].Name == r.Devices[n].Name {
				return "devices of one name are asked for twice: ask once, with a count"
			}
		}
	}
	switch r.NUMA {
	case "", v1alpha1.NUMANone, v1alpha1.NUMASingleCell, v1alpha1.NUMARestricted, v1alpha1.NUMASpread:
		return ""
	}
	return "the NUMA policy is not known: use none, single-cell, restricted or spread"
}
