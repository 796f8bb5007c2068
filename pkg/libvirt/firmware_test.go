package libvirt

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
)

func TestFirmwareOf(t *testing.T) {
	for doc, want := range map[string]FirmwareState{
		`<domain><os><type>hvm</type></os></domain>`:                                   {},
		`<domain><os firmware='bios'><type>hvm</type></os></domain>`:                   {},
		`<domain><os firmware='efi'><type>hvm</type></os></domain>`:                    {UEFI: true},
		`<domain><os firmware='efi'><loader stateless='yes'/></os></domain>`:           {},
		`<domain><os><nvram>/var/lib/libvirt/qemu/nvram/x.fd</nvram></os></domain>`:    {UEFI: true},
		`<domain><devices><tpm><backend type='emulator'/></tpm></devices></domain>`:    {TPM: true},
		`<domain><devices><tpm><backend type='passthrough'/></tpm></devices></domain>`: {},
	} {
		var x libvirtxml.Domain
		if err := x.Unmarshal(doc); err != nil {
			t.Fatal(err)
		}
		if got := firmwareOf(&x); got != want {
			t.Errorf("%s: %+v", doc, got)
		}
	}
}

func TestQEMUUser(t *testing.T) {
	model := func(name, label string) libvirtxml.CapsHostSecModel {
		return libvirtxml.CapsHostSecModel{Name: name, Labels: []libvirtxml.CapsHostSecModelLabel{{Type: "kvm", Value: label}}}
	}
	for name, test := range map[string]struct {
		models []libvirtxml.CapsHostSecModel
		want   *User
	}{
		"Debian's":       {[]libvirtxml.CapsHostSecModel{model("apparmor", "whatever"), model("dac", "+64055:+109")}, &User{64055, 109}},
		"root":           {[]libvirtxml.CapsHostSecModel{model("dac", "+0:+0")}, &User{}},
		"none":           {nil, nil},
		"one by a name":  {[]libvirtxml.CapsHostSecModel{model("dac", "qemu:kvm")}, nil},
		"without labels": {[]libvirtxml.CapsHostSecModel{{Name: "dac"}}, nil},
	} {
		if diff := cmp.Diff(test.want, qemuUser(test.models)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
