package capacity

import "domus.dev/domus/pkg/api/v1alpha1"

// leastTables is the least that QEMU is left for the tables of a qcow2 image, in
// bytes: enough for 8 GiB of it at a time.
const leastTables = 1 << 20

// DiskTables is how much of the tables of each of its VirtualDisks QEMU may keep for
// the guest of the VM, in bytes; 0 where there is no need to say. A VM that has come
// to have more disks than it was placed with has no more memory for QEMU: its disks
// share what there is.
func DiskTables(spec *v1alpha1.VirtualMachineSpec, granted v1alpha1.GrantedResources) int64 {
	n := int64(len(spec.Disks))
	lacks := Desired(spec).Overhead - granted.Overhead
	if spec.Resources.Overhead != nil || n == 0 || lacks <= 0 {
		return 0
	}
	return max((n*tablesMemory-lacks)/n>>10<<10, leastTables)
}

// PluggedTables is DiskTables for a disk that is plugged into a guest that runs, in
// which others have their tables already.
func PluggedTables(spec *v1alpha1.VirtualMachineSpec, granted v1alpha1.GrantedResources) int64 {
	if DiskTables(spec, granted) == 0 {
		return 0
	}
	return leastTables
}

// OverheadWithoutDisks is what QEMU is granted for a VM of the spec but for its
// VirtualDisks, in bytes: no other place is needed for another number of them.
func OverheadWithoutDisks(spec *v1alpha1.VirtualMachineSpec) int64 {
	return Desired(spec).Overhead - int64(len(spec.Disks))*(overheadDisk+tablesMemory)
}
