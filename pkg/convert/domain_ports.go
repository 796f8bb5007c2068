package convert

import (
	"slices"

	"libvirt.org/go/libvirtxml"
)

// sparePorts is how many devices can be plugged into a guest on a q35 machine
// beside those that it starts with. libvirt makes as many root ports as there are
// devices for, and no more. Eight are one slot of the root complex. What they cost
// is in docs/hotplug.md.
const sparePorts = 8

// setPorts gives a q35 machine root ports for its devices and some to spare. One
// whose user has listed root ports has those.
func setPorts(domain *libvirtxml.Domain) {
	if domain.OS == nil || domain.OS.Type == nil || !isQ35(domain.OS.Type.Machine) {
		return
	}
	listed := func(c libvirtxml.DomainController) bool { return c.Type == "pci" }
	if slices.ContainsFunc(domain.Devices.Controllers, listed) {
		return
	}
	for i := range expressDevices(domain) + sparePorts {
		index := uint(i) + 1 // 0 is the root complex
		domain.Devices.Controllers = append(domain.Devices.Controllers, libvirtxml.DomainController{Type: "pci", Index: &index, Model: "pcie-root-port"})
	}
}

// ownDevices are those that libvirt adds by itself and puts behind a root port: a
// USB controller, one for virtio-serial and a balloon.
const ownDevices = 3

// expressDevices is at least how many of the domain's devices libvirt puts behind a
// root port each. Too many leaves more to spare.
func expressDevices(domain *libvirtxml.Domain) int {
	d := domain.Devices
	n := ownDevices + len(d.Interfaces) + len(d.Hostdevs) + len(d.Filesystems) + len(d.RNGs) + len(d.Videos) + len(d.Shmems) + len(d.Inputs) + len(d.Sounds)
	if d.VSock != nil {
		n++
	}
	scsi := false
	for _, c := range d.Controllers {
		scsi = scsi || c.Type == "scsi"
		n++
	}
	for _, disk := range d.Disks {
		switch {
		case disk.Target == nil:
		case disk.Target.Bus == "virtio":
			n++
		case disk.Target.Bus == "scsi" && !scsi:
			scsi = true
			n++
		}
	}
	return n
}
