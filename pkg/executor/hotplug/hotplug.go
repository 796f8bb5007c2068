// Package hotplug decides how the disks of a guest that runs are to change, so that
// it has those that its VM's spec.disks says. It is pure: it compares what is
// wanted with what the guest has, and does nothing.
//
// The disks of spec.disks are known in a guest by their aliases, which hold their
// names; all others are not looked at.
package hotplug

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

// Wanted is what the guest is to have.
type Wanted struct {
	// Namespace is the VM's, and Disks its spec.disks.
	Namespace string
	Disks     []v1alpha1.VirtualMachineDisk
	// Volumes are what it can have now, by the names of VirtualDisks. Waits says of
	// each of the others why not, and Elsewhere which host those are at that the VM
	// cannot have where it is.
	Volumes          map[string]convert.Volume
	Waits, Elsewhere map[string]string
}

// Guest is what it has.
type Guest struct {
	Disks   []libvirt.Disk
	Sockets libvirt.Sockets
}

// Action is what is done to a guest.
type Action string

// Actions.
const (
	// Attach plugs a disk in.
	Attach Action = "Attach"
	// Detach asks the guest to give a disk up.
	Detach Action = "Detach"
	// ChangeMedium puts another medium, or none, into a drive.
	ChangeMedium Action = "ChangeMedium"
)

// Change is one change of a guest's disks.
type Change struct {
	Action Action
	// Name is the disk's in spec.disks, now or when it was plugged in.
	Name string
	// DiskName is the VirtualDisk that is plugged in, given up or put in; empty where
	// there is none, or it is not known which.
	DiskName string
	// Target is the device's name in the domain, for those that are there.
	Target string
	// Entry is the disk's in spec.disks; nil for Detach.
	Entry *v1alpha1.VirtualMachineDisk
	// Volume is to be in; empty for an empty tray.
	Volume convert.Volume
}

// Wait is a disk that is not changed yet.
type Wait struct {
	// Name is the disk's in spec.disks.
	Name string
	// Why says it to a person.
	Why string
}

// Restart is a field that takes effect when the guest is started next.
type Restart struct {
	// Field is a path such as spec.disks[data].bus.
	Field string
	// Why says it to a person.
	Why string
	// Elsewhere says that the VM is to be placed anew for it.
	Elsewhere bool
}

// Comparison is how the guest differs from what is wanted. All empty, it does not.
type Comparison struct {
	// Changes can be made now, in this order.
	Changes []Change
	Waits   []Wait
	Restart []Restart
}

// Same says that the guest has what is wanted.
func (c Comparison) Same() bool { return len(c.Changes)+len(c.Waits)+len(c.Restart) == 0 }

// Has lists the disks of spec.disks that a guest has.
func Has(disks []libvirt.Disk) []v1alpha1.GuestDisk {
	var out []v1alpha1.GuestDisk
	for i := range disks {
		d := &disks[i]
		if name, ours := convert.DiskOfAlias(d.Alias); ours {
			out = append(out, v1alpha1.GuestDisk{Name: name, DiskName: diskOf(d), Target: d.Target})
		}
	}
	return out
}

// diskOf is the name of the VirtualDisk that a device is; empty where it is none, or
// an overlay of one.
func diskOf(d *libvirt.Disk) string {
	_, name, _ := v1alpha1.DiskOfVolume(d.Volume.Name)
	return name
}
