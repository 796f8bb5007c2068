package policy

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var diskRules = []rule{
	{
		says:  "`devices.disks[].device` is disk, cdrom or floppy; one without a source is a cdrom or a floppy",
		why:   "lun passes the guest's SCSI commands to the host's device",
		check: eachDisk(checkDiskDevice),
	},
	{
		says:  "`devices.disks[].source.volume` has a pool and a volume, whose name begins with the namespace and a dot",
		why:   "a namespace has no dot in its name, so the first dot says whose a volume is",
		check: eachDisk(checkVolume),
	},
	{
		says:  "`devices.disks[].source.volume.volume` is not a VirtualDisk's or a VirtualDiskImage's, of which the name ends in `.vd-` or `.vi-` and 12 digits",
		why:   "whose such a volume is, and who may use it now, is said by its VirtualDisk: name that in spec.disks; an image is not to be written, since disks are made of it",
		check: eachDisk(checkNoVirtualDisk),
	},
	{
		says:  "`devices.disks[].driver.type` is qcow2 or raw, and is given where there is a source; `driver.name` is qemu",
		why:   "a format that is found out by looking is the guest's to choose: it writes a header that names a file of the host, and reads that file at its next start",
		check: eachDisk(checkDriver),
	},
}

func eachDisk(check func(s scope, disk *libvirtxml.DomainDisk, at *field.Path) field.ErrorList) func(scope) field.ErrorList {
	return func(s scope) field.ErrorList {
		devices, at := s.devices()
		var errs field.ErrorList
		for i := range devices.Disks {
			errs = append(errs, check(s, &devices.Disks[i], at.Child("disks").Index(i))...)
		}
		return errs
	}
}

func checkDiskDevice(_ scope, disk *libvirtxml.DomainDisk, at *field.Path) field.ErrorList {
	errs := oneOf(at.Child("device"), disk.Device, "disk", "cdrom", "floppy")
	if !hasMedium(disk.Source) && disk.Device != "cdrom" && disk.Device != "floppy" {
		errs = append(errs, field.Required(at.Child("source"),
			"name a volume, such as source: {volume: {pool: default, volume: <namespace>.disk}}"))
	}
	return errs
}

// hasMedium says whether the disk names anything to read, allowed or not.
func hasMedium(source *libvirtxml.DomainDiskSource) bool {
	if source == nil {
		return false
	}
	return source.File != nil || source.Block != nil || source.Dir != nil || source.Network != nil ||
		source.Volume != nil || source.NVME != nil || source.VHostUser != nil || source.VHostVDPA != nil
}

func checkVolume(s scope, disk *libvirtxml.DomainDisk, at *field.Path) field.ErrorList {
	if disk.Source == nil || disk.Source.Volume == nil {
		return nil
	}
	volume, at := disk.Source.Volume, at.Child("source", "volume")
	var errs field.ErrorList
	if volume.Pool == "" {
		errs = append(errs, field.Required(at.Child("pool"), "name the storage pool of the volume"))
	}
	prefix := s.namespace + "."
	switch {
	case volume.Volume == "":
		errs = append(errs, field.Required(at.Child("volume"), fmt.Sprintf("name a volume that begins with %q", prefix)))
	case s.namespace == "" || !strings.HasPrefix(volume.Volume, prefix) || len(volume.Volume) == len(prefix):
		errs = append(errs, value(at.Child("volume"), volume.Volume,
			fmt.Sprintf("must begin with %q, for volumes belong to the namespace before their first dot,", prefix)))
	case strings.Contains(volume.Volume, "/"):
		errs = append(errs, value(at.Child("volume"), volume.Volume, "must be a name without slashes"))
	}
	return errs
}

func checkDriver(_ scope, disk *libvirtxml.DomainDisk, at *field.Path) field.ErrorList {
	at = at.Child("driver")
	if disk.Driver == nil || disk.Driver.Type == "" {
		if hasMedium(disk.Source) {
			return field.ErrorList{field.Required(at.Child("type"), "say qcow2 or raw: the format is never guessed")}
		}
		if disk.Driver == nil {
			return nil
		}
	}
	errs := oneOf(at.Child("type"), disk.Driver.Type, "qcow2", "raw")
	return append(errs, oneOf(at.Child("name"), disk.Driver.Name, "qemu")...)
}

// ofVirtualDisk is what the VolumeName of a VirtualDisk returns, and ofImage that of
// a VirtualDiskImage, on one host or several.
var ofVirtualDisk = regexp.MustCompile(regexp.QuoteMeta(v1alpha1.VolumeMark) + "[0-9a-f]{12}(\\.|$)")

var ofImage = regexp.MustCompile(regexp.QuoteMeta(v1alpha1.ImageVolumeMark) + "[0-9a-f]{12}([-.]|$)")

func checkNoVirtualDisk(_ scope, disk *libvirtxml.DomainDisk, at *field.Path) field.ErrorList {
	if disk.Source == nil || disk.Source.Volume == nil {
		return nil
	}
	if ofImage.MatchString(disk.Source.Volume.Volume) {
		return field.ErrorList{field.Forbidden(at.Child("source", "volume", "volume"), "is the volume of a VirtualDiskImage: make a VirtualDisk with spec.source.image, and name that in spec.disks")}
	}
	if !ofVirtualDisk.MatchString(disk.Source.Volume.Volume) {
		return nil
	}
	return field.ErrorList{field.Forbidden(at.Child("source", "volume", "volume"), "is the volume of a VirtualDisk: name that in spec.disks")}
}
