package convert

import (
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// setSeed attaches the file at path, what the guest's cloud-init is told, as a
// read-only CD-ROM, beside whatever disks the user has. It goes where none of
// them is: a name that is free, and on SCSI a controller of its own.
func setSeed(domain *libvirtxml.Domain, bus v1alpha1.CloudInitBus, path string) {
	if path == "" {
		return
	}
	if bus == "" {
		bus = seedBus(domain)
	}
	devices := domain.Devices
	disk := libvirtxml.DomainDisk{
		Device:   "cdrom",
		Driver:   &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw"},
		Source:   &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
		ReadOnly: &libvirtxml.DomainDiskReadOnly{},
	}
	target := freeTarget(devices, bus)
	if target == "" {
		bus = v1alpha1.CloudInitSATA // all four places of the IDE controller are taken
		target = freeTarget(devices, bus)
	}
	disk.Target = &libvirtxml.DomainDiskTarget{Dev: target, Bus: string(bus)}
	if bus == v1alpha1.CloudInitSCSI {
		index := freeController(devices)
		devices.Controllers = append(devices.Controllers, libvirtxml.DomainController{Type: "scsi", Index: &index, Model: "virtio-scsi"})
		zero := uint(0)
		disk.Address = &libvirtxml.DomainAddress{Drive: &libvirtxml.DomainAddressDrive{Controller: &index, Bus: &zero, Target: &zero, Unit: &zero}}
	}
	devices.Disks = append(devices.Disks, disk)
}

// seedBus is one that the guest will find. One whose disk is on virtio has such
// drivers, and small kernels have no others: Debian's for clouds knows no AHCI.
func seedBus(domain *libvirtxml.Domain) v1alpha1.CloudInitBus {
	for _, d := range domain.Devices.Disks {
		if t := d.Target; t != nil && (t.Bus == "virtio" || t.Bus == "scsi") {
			return v1alpha1.CloudInitSCSI
		}
	}
	t := domain.OS.Type
	switch pc := t.Arch == "x86_64" || t.Arch == "i686"; {
	case pc && isQ35(t.Machine):
		return v1alpha1.CloudInitSATA
	case pc && t.Machine != "microvm":
		return v1alpha1.CloudInitIDE // pc is libvirt's own choice
	}
	return v1alpha1.CloudInitSCSI
}

func isQ35(machine string) bool { return machine == "q35" || strings.HasPrefix(machine, "pc-q35-") }

// idePlaces are how many disks a machine's IDE controller has.
const idePlaces = 4

// freeTarget is the first name of the bus that no disk has; "" when there is none.
// libvirt finds the place on the controller by it, so that on SATA and IDE a place
// that a disk asks for by its address is not free either.
func freeTarget(devices *libvirtxml.DomainDeviceList, bus v1alpha1.CloudInitBus) string {
	prefix, per := "sd", sataPorts
	if bus == v1alpha1.CloudInitIDE {
		prefix, per = "hd", 2
	}
	for i := range maxTargets {
		if bus == v1alpha1.CloudInitIDE && i == idePlaces {
			return ""
		}
		name := prefix + letters(i)
		taken := slices.ContainsFunc(devices.Disks, func(d libvirtxml.DomainDisk) bool {
			if d.Target == nil {
				return false
			}
			return d.Target.Dev == name || d.Target.Bus == string(bus) && bus != v1alpha1.CloudInitSCSI && isAt(d.Address, uint(i/per), uint(i%per))
		})
		if !taken {
			return name
		}
	}
	return ""
}

const (
	// sataPorts are those of an AHCI controller, by libvirt's count.
	sataPorts = 6
	// maxTargets is far above the disks that a VM can have in its document.
	maxTargets = 2000
)

// letters count a, b, ... z, aa, ab.
func letters(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return letters(i/26-1) + string(rune('a'+i%26))
}

// isAt says whether a drive's address is this place. On IDE a controller's number
// is that of the bus.
func isAt(a *libvirtxml.DomainAddress, controller, unit uint) bool {
	if a == nil || a.Drive == nil || a.Drive.Unit == nil || *a.Drive.Unit != unit {
		return false
	}
	number := func(p *uint) uint {
		if p == nil {
			return 0
		}
		return *p
	}
	return number(a.Drive.Controller) == controller && number(a.Drive.Bus) == 0 || number(a.Drive.Controller) == 0 && number(a.Drive.Bus) == controller
}

// scsiUnits are what libvirt puts on one SCSI controller, at least.
const scsiUnits = 7

// freeController is the number behind all SCSI controllers that the domain has,
// and those that libvirt adds for its SCSI disks.
func freeController(devices *libvirtxml.DomainDeviceList) uint {
	var next uint
	implied := func(index uint) { next = max(next, index+1) }
	for _, c := range devices.Controllers {
		if c.Type != "scsi" {
			continue
		}
		if c.Index != nil {
			implied(*c.Index)
		} else {
			next++ // libvirt numbers it
		}
	}
	for _, d := range devices.Disks {
		if d.Target == nil || d.Target.Bus != "scsi" {
			continue
		}
		if d.Address != nil && d.Address.Drive != nil && d.Address.Drive.Controller != nil {
			implied(*d.Address.Drive.Controller)
		} else {
			implied(uint(position(d.Target.Dev)) / scsiUnits)
		}
	}
	for _, h := range devices.Hostdevs {
		if h.SubsysSCSI != nil {
			implied(0)
		}
	}
	return next
}

// position counts the letters of a name such as sdb: 1. It is 0 for any other.
func position(dev string) int {
	name, found := strings.CutPrefix(dev, "sd")
	n := 0
	for _, r := range name {
		if r < 'a' || r > 'z' || !found || len(name) > 3 {
			return 0
		}
		n = n*26 + int(r-'a') + 1
	}
	return max(n-1, 0)
}

// MACs are the addresses of the domain's interfaces; none unless all have one
// that the user chose: what libvirt draws by lot is another at each start.
func MACs(domain *libvirtxml.Domain) []string {
	var out []string
	for _, i := range domain.Devices.Interfaces {
		if i.MAC == nil || i.MAC.Address == "" {
			return nil
		}
		out = append(out, strings.ToLower(i.MAC.Address))
	}
	return out
}
