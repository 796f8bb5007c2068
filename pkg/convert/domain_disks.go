package convert

import (
	"fmt"
	"maps"
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
// wrote in spec.domain, in their order. volumes are by the names of VirtualDisks, and tables is how much of
// an image's QEMU may keep, in bytes; 0 for its own choice.
func setDisks(domain *libvirtxml.Domain, spec []v1alpha1.VirtualMachineDisk, volumes map[string]Volume, tables int64) (errs field.ErrorList) {
	taken, aliases := map[string]bool{}, map[string]bool{}
	for _, d := range domain.Devices.Disks {
		if d.Target != nil {
			taken[d.Target.Dev] = true
		}
		if d.Alias != nil {
			aliases[d.Alias.Name] = true
		}
	}
	seen := map[string]bool{}
	for i := range spec {
		d, at := &spec[i], disksPath.Index(i)
		v, known := volumes[d.DiskName]
		empty := d.DiskName == "" && d.Type == v1alpha1.DeviceCDROM
		switch {
		case aliases[DiskAlias(d.Name)]:
			errs = append(errs, field.Invalid(at.Child("name"), d.Name, "a disk of spec.domain has the alias "+DiskAlias(d.Name)+": give one of the two another name"))
			continue
		case empty:
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
		_, bus := BusOf(d)
		domain.Devices.Disks = append(domain.Devices.Disks, diskDevice(d, v, nextTarget(targetLetters[bus], taken), tables))
	}
	return errs
}

// diskAlias begins the aliases of the disks of spec.disks. libvirt keeps those that
// begin with ua- as they are, for as long as a guest runs and in its definition.
const diskAlias = "ua-disk-"

// DiskAlias is the alias in a domain of the disk of spec.disks of that name.
func DiskAlias(name string) string { return diskAlias + name }

// DiskOfAlias is the name in spec.disks of the disk that has the alias in a domain;
// false for one that is not from there.
func DiskOfAlias(alias string) (string, bool) { return strings.CutPrefix(alias, diskAlias) }

// DiskTarget is a name for the disk in a domain that has those that are taken.
func DiskTarget(d *v1alpha1.VirtualMachineDisk, taken map[string]bool) string {
	_, bus := BusOf(d)
	return nextTarget(targetLetters[bus], maps.Clone(taken))
}

// DiskXML is the disk as a device of its own, to be plugged into a guest, or put in
// the place of the one that has the target. tables is how much of its image's tables
// QEMU may keep, in bytes; 0 for QEMU's own choice.
func DiskXML(d *v1alpha1.VirtualMachineDisk, v Volume, target string, tables int64) (string, error) {
	disk := diskDevice(d, v, target, tables)
	text, err := disk.Marshal()
	if err != nil {
		return "", fmt.Errorf("writing the XML of disk %s: %w", d.Name, err)
	}
	return text, nil
}

// diskDevice is the disk with the volume under the name; without a volume, an
// empty tray.
func diskDevice(d *v1alpha1.VirtualMachineDisk, v Volume, target string, tables int64) libvirtxml.DomainDisk {
	device, bus := BusOf(d)
	out := libvirtxml.DomainDisk{
		Device: string(device),
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: string(v.Format)},
		Target: &libvirtxml.DomainDiskTarget{Dev: target, Bus: string(bus)},
		Serial: d.Serial,
		Alias:  &libvirtxml.DomainAlias{Name: DiskAlias(d.Name)},
	}
	if tables > 0 && v.Format == v1alpha1.DiskQCOW2 {
		out.Driver.MetadataCache = &libvirtxml.DomainDiskMetadataCache{MaxSize: &libvirtxml.DomainDiskMetadataCacheSize{Unit: "bytes", Value: int(tables)}}
	}
	if v.Name != "" {
		out.Source = &libvirtxml.DomainDiskSource{Volume: &libvirtxml.DomainDiskSourceVolume{Pool: v.Pool, Volume: v.Name}}
	} else {
		out.Driver.Type = string(v1alpha1.DiskRaw)
	}
	if v.ReadOnly || !d.MayWrite() {
		out.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	// Of a drive libvirt changes the medium alone, and all else must stay as it is. What
	// is read only may be shared in any case.
	if v.Shared && device != v1alpha1.DeviceCDROM {
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
