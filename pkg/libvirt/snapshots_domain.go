package libvirt

import "libvirt.org/go/libvirtxml"

// writtenOf lists the disks that a guest of the domain may write.
func writtenOf(d *libvirtxml.Domain) (out []VolumeRef) {
	if d.Devices == nil {
		return nil
	}
	for _, disk := range d.Devices.Disks {
		if disk.ReadOnly != nil || disk.Device == "cdrom" {
			continue
		}
		ref := VolumeRef{}
		if s := disk.Source; s != nil && s.Volume != nil {
			ref = VolumeRef{Pool: s.Volume.Pool, Name: s.Volume.Volume}
		}
		out = append(out, ref)
	}
	return out
}

// Metadata is the inside of the <metadata> element of a domain's document.
func Metadata(domain string) (string, error) {
	var d libvirtxml.Domain
	if err := d.Unmarshal(domain); err != nil {
		return "", err
	}
	if d.Metadata == nil {
		return "", nil
	}
	return d.Metadata.XML, nil
}

// VolumesIn lists the volumes that are disks in a domain's document, and those of
// them that its guest may write.
func VolumesIn(domain string) (all, written []VolumeRef, err error) {
	var d libvirtxml.Domain
	if err := d.Unmarshal(domain); err != nil {
		return nil, nil, err
	}
	return volumesOf(&d), writtenOf(&d), nil
}
