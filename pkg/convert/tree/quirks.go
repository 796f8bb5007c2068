package tree

import (
	"reflect"

	"libvirt.org/go/libvirtxml"
)

// libvirtxml's structs follow one pattern but for the two below.

var (
	addressType = reflect.TypeFor[libvirtxml.DomainAddress]()
	devicesType = reflect.TypeFor[libvirtxml.DomainDeviceList]()
)

// isAddress says whether t is a choice whose variants carry no tag.
func isAddress(t reflect.Type) bool { return t == addressType }

// mirrored says whether a field repeats another: DomainDeviceList.IOMMU is kept
// by libvirtxml for old callers and equals the first of IOMMUs.
func mirrored(t reflect.Type, name string) bool {
	return t == devicesType && name == "IOMMU"
}

// mirror sets mirrored fields in a decoded struct, as libvirtxml's own
// Unmarshal does.
func mirror(v reflect.Value) {
	if v.Type() != devicesType || !v.CanAddr() {
		return
	}
	if d := v.Addr().Interface().(*libvirtxml.DomainDeviceList); len(d.IOMMUs) > 0 {
		d.IOMMU = &d.IOMMUs[0]
	}
}

// unmirror returns v with what only a mirrored field holds moved to its real
// field, as libvirtxml's own Marshal does.
func unmirror(v reflect.Value) reflect.Value {
	if v.Type() != devicesType {
		return v
	}
	d := v.Interface().(libvirtxml.DomainDeviceList)
	if d.IOMMU != nil && len(d.IOMMUs) == 0 {
		d.IOMMUs = []libvirtxml.DomainIOMMU{*d.IOMMU}
	}
	return reflect.ValueOf(d)
}
