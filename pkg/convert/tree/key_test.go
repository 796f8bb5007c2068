package tree

import (
	"reflect"
	"testing"

	"libvirt.org/go/libvirtxml"
)

func TestKeyIsTheGoNameInLowerCamelCase(t *testing.T) {
	for name, want := range map[string]string{
		"Name":          "name",
		"OnPoweroff":    "onPoweroff",
		"UUID":          "uuid",
		"HWUUID":        "hwuuid",
		"GenID":         "genID",
		"VCPU":          "vcpu",
		"VCPUs":         "vcpus",
		"VCPUPin":       "vcpuPin",
		"CPUTune":       "cpuTune",
		"OS":            "os",
		"IOThreads":     "ioThreads",
		"IOThreadIDs":   "ioThreadIDs",
		"TPMs":          "tpms",
		"VSock":         "vSock",
		"UNIX":          "unix",
		"VEPA8021QBG":   "vepa8021QBG",
		"PM":            "pm",
		"I":             "i",
		"QEMUOverride":  "qemuOverride",
		"MemBalloon":    "memBalloon",
		"TotalIopsSec":  "totalIopsSec",
		"StartUpPolicy": "startUpPolicy",
	} {
		if got := Key(name); got != want {
			t.Errorf("Key(%q) = %q, want %q", name, got, want)
		}
	}
}

// roots are the documents that libvirt knows.
var roots = []any{
	libvirtxml.Domain{}, libvirtxml.DomainSnapshot{}, libvirtxml.DomainCheckpoint{}, libvirtxml.DomainBackup{},
	libvirtxml.DomainCaps{}, libvirtxml.Caps{}, libvirtxml.Interface{}, libvirtxml.Network{}, libvirtxml.NetworkPort{},
	libvirtxml.NWFilter{}, libvirtxml.NWFilterBinding{}, libvirtxml.NodeDevice{}, libvirtxml.Secret{},
	libvirtxml.StoragePool{}, libvirtxml.StorageVolume{}, libvirtxml.StorageEncryption{},
}

func TestNoTwoFieldsOfAnyDocumentShareAKey(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		o := objectOf(typ)
		if len(o.byKey) != len(o.members) {
			t.Errorf("%s has %d keys for %d fields", typ, len(o.byKey), len(o.members))
		}
		for _, m := range o.members {
			visit(m.typ)
		}
	}
	for _, root := range roots {
		visit(reflect.TypeOf(root))
	}
	// A schema of next to nothing would pass too.
	if len(seen) < 500 {
		t.Errorf("visited %d structs, expected the whole of libvirtxml", len(seen))
	}
}
