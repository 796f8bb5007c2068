package objects

import (
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/xmldoc"
)

type diskConcern = concern[libvirtxml.StorageVolume, *v1alpha1.VirtualDisk]

var volumePath = field.NewPath("spec", "volume")

// disks are volumes.
var disks = &mapping[libvirtxml.StorageVolume, *v1alpha1.VirtualDisk]{
	kind: xmldoc.KindVolume,
	empty: func() *v1alpha1.VirtualDisk {
		disk := &v1alpha1.VirtualDisk{}
		disk.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualDisk"))
		return disk
	},
	at:       volumePath,
	part:     func(disk *v1alpha1.VirtualDisk) **runtime.RawExtension { return &disk.Spec.Volume },
	concerns: []diskConcern{diskName, diskSize, diskFormat},
	whole:    []string{"/capacity", "/target/format"},
	lifted:   []string{"capacity"},
}

// diskName is <name>.
var diskName = diskConcern{
	lift: func(volume *libvirtxml.StorageVolume, disk *v1alpha1.VirtualDisk) {
		liftName(&volume.Name, disk)
	},
	lower: func(disk *v1alpha1.VirtualDisk, volume *libvirtxml.StorageVolume) field.ErrorList {
		return lowerName(disk, &volume.Name, volumePath)
	},
}

// diskSize is <capacity>, in bytes as libvirt prints it.
var diskSize = diskConcern{
	lift: func(volume *libvirtxml.StorageVolume, disk *v1alpha1.VirtualDisk) {
		c := volume.Capacity
		if c == nil {
			return
		}
		if size, ok := amount(c.Value, c.Unit, "bytes"); ok {
			disk.Spec.Size = &size
			volume.Capacity = nil
		}
	},
	lower: func(disk *v1alpha1.VirtualDisk, volume *libvirtxml.StorageVolume) field.ErrorList {
		size := disk.Spec.Size
		if size == nil {
			return nil
		}
		if c := volume.Capacity; c != nil && (c.Value != 0 || c.Unit != "") {
			if given, ok := amount(c.Value, c.Unit, "bytes"); !ok || given.Cmp(*size) != 0 {
				return field.ErrorList{givenTwice(volumePath.Child("capacity"), c.Value, "spec.size")}
			}
		}
		volume.Capacity = &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: uint64(max(size.Value(), 0))}
		return nil
	},
}

// diskFormat is <target><format>, of the formats that disks are made in.
var diskFormat = diskConcern{
	lift: func(volume *libvirtxml.StorageVolume, disk *v1alpha1.VirtualDisk) {
		target := volume.Target
		if target == nil || target.Format == nil {
			return
		}
		switch format := v1alpha1.DiskFormat(target.Format.Type); format {
		case v1alpha1.DiskQCOW2, v1alpha1.DiskRaw:
			disk.Spec.Format = format
			target.Format = nil
		}
		if reflect.ValueOf(*target).IsZero() {
			volume.Target = nil
		}
	},
	lower: func(disk *v1alpha1.VirtualDisk, volume *libvirtxml.StorageVolume) field.ErrorList {
		format := string(disk.Spec.Format)
		if format == "" {
			return nil
		}
		if volume.Target == nil {
			volume.Target = &libvirtxml.StorageVolumeTarget{}
		}
		if given := volume.Target.Format; given != nil && given.Type != format {
			return field.ErrorList{givenTwice(volumePath.Child("target", "format", "type"), given.Type, "spec.format")}
		}
		volume.Target.Format = &libvirtxml.StorageVolumeTargetFormat{Type: format}
		return nil
	},
}
