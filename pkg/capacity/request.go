package capacity

import (
	"domus.dev/domus/pkg/api/v1alpha1"
)

// Memory that QEMU needs beside the guest's own. Resident size minus guest
// memory was 105 to 112 MiB for guests of one vCPU and few devices under TCG
// (libvirt 9.0.0, QEMU 7.2); the rest grows with what is asked for.
const (
	overheadBase = 128 << 20
	// overheadPerCPU covers a vCPU thread's stack, its KVM run area and device
	// queues, which follow the number of vCPUs.
	overheadPerCPU = 8 << 20
	// overheadMemoryShare: page tables and dirty bitmaps take about 1/512 of
	// guest memory (8 bytes per 4 KiB page).
	overheadMemoryShare = 512
)

// Overhead is the ordinary memory, in bytes, that QEMU itself is granted for a
// guest with cpu vCPUs and memory bytes.
func Overhead(cpu int32, memory int64) int64 {
	return overheadBase + int64(cpu)*overheadPerCPU + memory/overheadMemoryShare
}

// Desired is what a VM of this spec would be granted if it were placed now.
func Desired(spec *v1alpha1.VirtualMachineSpec) v1alpha1.GrantedResources {
	r := &spec.Resources
	memory := r.Memory.Value()
	g := v1alpha1.GrantedResources{CPU: r.CPU, Memory: memory, Overhead: Overhead(r.CPU, memory)}
	if r.Hugepages != nil {
		g.PageSize = r.Hugepages.PageSize
	}
	return g
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

// Request is what a VM counts for: what it desires, or the larger of that and
// what it was granted while it is placed. An edit of a placed VM's resources
// thus never frees what the guest may still use.
func Request(vm *v1alpha1.VirtualMachine) Resources {
	want := FromGranted(Desired(&vm.Spec))
	if p := vm.Status.Placement; p != nil {
		return want.Max(FromGranted(p.Granted))
	}
	return want
}
