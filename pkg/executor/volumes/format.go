package volumes

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// isoFormat is what libvirt calls a raw volume with a CD's file system.
const isoFormat = "iso"

// asOwn returns the volume of the disk in the format that it was made in, and what
// libvirt takes it for where that is another one.
//
// libvirt finds the formats of volumes out by looking at their first bytes. Of a raw
// volume those are the guest's, or the image's that it began with: they may be the
// header of a qcow2 file that names a file of the host. Whoever believed them would
// have that read. Nor is the size believed that such a header tells.
func asOwn(d *v1alpha1.VirtualDisk, pool string, v libvirt.Volume) (own libvirt.Volume, misread string) {
	format := string(formatIn(d, pool))
	if d.Status.Format != "" {
		format = string(d.Status.Format)
	}
	if v.Format == format {
		return v, ""
	}
	took := v.Format
	v.Format = format
	if took == isoFormat {
		return v, ""
	}
	v.Backing = ""
	switch {
	case format == libvirt.FormatRaw && v.Length > 0:
		v.Capacity = v.Length
	case d.Status.Capacity > 0:
		v.Capacity = d.Status.Capacity
	}
	return v, took
}
