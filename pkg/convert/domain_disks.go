package convert

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Volume is where a VirtualDisk lies on the host.
type Volume struct {
	// Pool and Name are libvirt's.
	Pool, Name string
	// Format is qcow2 or raw. It is said to the emulator, which never looks for it:
	// a guest could write what it would find.
	Format v1alpha1.DiskFormat
	// ReadOnly says that nobody may write it, and Shared that several guests may
	// have it at once.
	ReadOnly, Shared bool
}

// disksPath is where a VirtualMachine names its VirtualDisks.
var disksPath = field.NewPath("spec", "disks")

// targetLetters are what names of a bus' disks begin with.
var targetLetters = map[v1alpha1.DiskBus]string{
	v1alpha1.BusVirtio: "vd", v1alpha1.BusSCSI: "sd", v1alpha1.BusSATA: "sd", v1alpha1.BusUSB: "sd", v1alpha1.BusIDE: "hd",
}

// setDisks gives the guest the disks of spec.disks, behind those that the user
// wrote in spec.domain, in their order. volumes are by the names of VirtualDisks.
func setDisks(domain *libvirtxml.Domain, spec []v1alpha1.VirtualMachineDisk, volumes map[string]Volume) (errs field.ErrorList) {
	taken := map[string]bool{}
	for _, d := range domain.Devices.Disks {
		if d.Target != nil {
			taken[d.Target.Dev] = true
		}
	}
	seen := map[string]bool{}
	for i := range spec {
		d, at := &spec[i], disksPath.Index(i)
		v, known := volumes[d.DiskName]
		switch {
		case seen[d.DiskName]:
			errs = append(errs, field.Duplicate(at.Child("diskName"), d.DiskName))
			continue
		case !known:
			errs = append(errs, field.NotFound(at.Child("diskName"), d.DiskName))
			continue
		case d.BootOrder > 0 && domain.OS != nil && len(domain.OS.BootDevices) > 0:
			errs = append(errs, field.Forbidden(at.Child("bootOrder"), "spec.domain.os.bootDevices says what to boot from: leave out one of the two"))
			continue
		}
		seen[d.DiskName] = true
		domain.Devices.Disks = append(domain.Devices.Disks, diskDevice(d, v, taken))
	}
	return errs
}

func diskDevice(d *v1alpha1.VirtualMachineDisk, v Volume, taken map[string]bool) libvirtxml.DomainDisk {
	device, bus := BusOf(d)
	out := libvirtxml.DomainDisk{
		Device: string(device),
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: string(v.Format)},
		Source: &libvirtxml.DomainDiskSource{Volume: &libvirtxml.DomainDiskSourceVolume{Pool: v.Pool, Volume: v.Name}},
		Target: &libvirtxml.DomainDiskTarget{Dev: nextTarget(targetLetters[bus], taken), Bus: string(bus)},
		Serial: d.Serial,
	}
	if v.ReadOnly || !d.MayWrite() {
		out.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	if v.Shared {
		out.Shareable = &libvirtxml.DomainDiskShareable{}
	}
	if d.BootOrder > 0 {
		out.Boot = &libvirtxml.DomainDeviceBoot{Order: uint(d.BootOrder)}
	}
	return out
}

// BusOf is what a disk is to the guest, with defaults.
func BusOf(d *v1alpha1.VirtualMachineDisk) (v1alpha1.DiskDevice, v1alpha1.DiskBus) {
	device, bus := d.Type, d.Bus
	if device == "" {
		device = v1alpha1.DeviceDisk
	}
	if bus == "" {
		bus = v1alpha1.BusVirtio
		if device == v1alpha1.DeviceCDROM {
			bus = v1alpha1.BusSATA
		}
	}
	return device, bus
}

// nextTarget is the first name that no disk has yet, of vda to vdz, vdaa and so
// on, and takes it.
func nextTarget(letters string, taken map[string]bool) string {
	for n := 0; ; n++ {
		name := letters + lettersOf(n)
		if !taken[name] {
			taken[name] = true
			return name
		}
	}
}

// lettersOf counts a, b, ... z, aa, ab: 0 is a.
func lettersOf(n int) string {
	var out strings.Builder
	if n >= 26 {
		out.WriteString(lettersOf(n/26 - 1))
	}
	fmt.Fprintf(&out, "%c", 'a'+n%26)
	return out.String()
}
