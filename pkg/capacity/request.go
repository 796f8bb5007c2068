package capacity

import (
	"domus.dev/domus/pkg/api/v1alpha1"
)

// Desired is what a VM of this spec would be granted if it were placed now.
// Where spec.domain has been dropped, package podless knows it.
func Desired(spec *v1alpha1.VirtualMachineSpec) v1alpha1.GrantedResources {
	return DesiredWith(spec, DeviceOverhead(spec))
}

// DesiredWith is Desired where the devices' part of the overhead is known. What
// the user says of the overhead goes before what is computed.
func DesiredWith(spec *v1alpha1.VirtualMachineSpec, deviceOverhead int64) v1alpha1.GrantedResources {
	r := &spec.Resources
	g := v1alpha1.GrantedResources{CPU: r.CPU, Memory: r.Memory.Value(), PageSize: pagesOf(spec), MaxCPU: r.MaxCPU}
	if r.MaxMemory != nil {
		g.MaxMemory = r.MaxMemory.Value()
	}
	if r.Overhead != nil {
		g.Overhead = r.Overhead.Value()
	} else {
		g.Overhead = Overhead(MostCPU(g), MostMemory(g), g.PageSize, Devices{}) + deviceOverhead
	}
	return g
}

// MostCPU and MostMemory are how far a guest with this grant may grow. QEMU is
// started for that, so that its overhead does not grow along.
func MostCPU(g v1alpha1.GrantedResources) int32 { return max(g.CPU, g.MaxCPU) }

// MostMemory is in bytes; see MostCPU.
func MostMemory(g v1alpha1.GrantedResources) int64 { return max(g.Memory, g.MaxMemory) }

// ComputedOverhead is what a VM of this spec is granted for QEMU, in bytes,
// where the user says nothing of it.
func ComputedOverhead(spec *v1alpha1.VirtualMachineSpec) int64 {
	g := DesiredWith(spec, 0)
	return Overhead(MostCPU(g), MostMemory(g), g.PageSize, DevicesOf(spec))
}

// DeviceOverhead is the devices' part of ComputedOverhead.
func DeviceOverhead(spec *v1alpha1.VirtualMachineSpec) int64 {
	return DevicesOf(spec).Overhead(MostMemory(DesiredWith(spec, 0)), pagesOf(spec))
}

func pagesOf(spec *v1alpha1.VirtualMachineSpec) v1alpha1.PageSize {
	if spec.Resources.Hugepages == nil {
		return ""
	}
	return spec.Resources.Hugepages.PageSize
}

// FromGranted counts a grant against a host: guest memory comes from ordinary
// memory or from one hugepage pool, the overhead always from ordinary memory.
func FromGranted(g v1alpha1.GrantedResources) Resources {
	r := Resources{CPU: int64(g.CPU), Memory: g.Overhead}
	switch g.PageSize {
	case v1alpha1.PageSize2Mi:
		r.Hugepages2Mi = g.Memory
	case v1alpha1.PageSize1Gi:
		r.Hugepages1Gi = g.Memory
	default:
		r.Memory += g.Memory
	}
	return r
}

// Request is what a VM counts for: what it was granted while it is placed, else
// what it desires. An edit of a placed VM's resources counts once it has been
// granted: no guest has more than that.
func Request(desired v1alpha1.GrantedResources, placement *v1alpha1.Placement) Resources {
	if placement != nil {
		return FromGranted(placement.Granted)
	}
	return FromGranted(desired)
}
