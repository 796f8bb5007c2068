// Package disk holds the verbs that edit a VM's disks: `virtctl disk` and `virtctl
// cdrom`. All they do is to edit spec.disks, and wait until the guest has followed.
package disk

import (
	"cmp"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
)

// edit changes the disks of a VM, and returns the name in spec.disks of the one that
// it is about. It is told nothing of the cluster.
type edit func(vm *v1alpha1.VirtualMachine) (disks []v1alpha1.VirtualMachineDisk, name string, err error)

// attach adds a VirtualDisk. Named again in the same way it changes nothing.
func attach(entry v1alpha1.VirtualMachineDisk) edit {
	return func(vm *v1alpha1.VirtualMachine) ([]v1alpha1.VirtualMachineDisk, string, error) {
		for i := range vm.Spec.Disks {
			switch d := &vm.Spec.Disks[i]; {
			case d.DiskName == entry.DiskName && (d.Name == entry.Name || entry.Name == entry.DiskName):
				return vm.Spec.Disks, d.Name, nil
			case d.DiskName == entry.DiskName:
				return nil, "", failure.Refused("virtualmachine %q has VirtualDisk %s already, as %s", vm.Name, d.DiskName, d.Name)
			case d.Name == entry.Name:
				return nil, "", failure.Refused("virtualmachine %q has another disk of the name %s, VirtualDisk %s: choose one with --name", vm.Name, d.Name, d.DiskName)
			}
		}
		return append(slices.Clone(vm.Spec.Disks), entry), entry.Name, nil
	}
}

// detach takes a disk away, which is given by its name in spec.disks or by the
// VirtualDisk's.
func detach(given string) edit {
	return func(vm *v1alpha1.VirtualMachine) ([]v1alpha1.VirtualMachineDisk, string, error) {
		at := slices.IndexFunc(vm.Spec.Disks, func(d v1alpha1.VirtualMachineDisk) bool { return d.Name == given })
		if at < 0 {
			at = slices.IndexFunc(vm.Spec.Disks, func(d v1alpha1.VirtualMachineDisk) bool { return d.DiskName == given })
		}
		if at < 0 {
			return nil, "", failure.Refused("virtualmachine %q has no disk %s: see its spec.disks", vm.Name, given)
		}
		return slices.Delete(slices.Clone(vm.Spec.Disks), at, at+1), vm.Spec.Disks[at].Name, nil
	}
}

// medium puts a VirtualDisk into a drive; none where disk is empty. Without a name
// of the drive it is the only one.
func medium(disk, drive string, force bool) edit {
	return func(vm *v1alpha1.VirtualMachine) ([]v1alpha1.VirtualMachineDisk, string, error) {
		disks, at := slices.Clone(vm.Spec.Disks), -1
		for i := range disks {
			switch {
			case disks[i].Type != v1alpha1.DeviceCDROM || drive != "" && disks[i].Name != drive:
			case at >= 0:
				return nil, "", failure.Refused("virtualmachine %q has several drives, %s and %s among them: name one with --drive", vm.Name, disks[at].Name, disks[i].Name)
			default:
				at = i
			}
		}
		if at < 0 {
			return nil, "", failure.Refused("virtualmachine %q has no drive %s: add one to its spec.disks, with type cdrom", vm.Name, cmp.Or(drive, "for CD-ROMs"))
		}
		disks[at].DiskName, disks[at].ForceEject = disk, force
		return disks, disks[at].Name, nil
	}
}
