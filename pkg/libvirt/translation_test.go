package libvirt

import (
	"testing"

	"libvirt.org/go/libvirtxml"
)

func TestTranslationCache(t *testing.T) {
	for doc, want := range map[string]int64{
		`<domain type='kvm'/>`:  0,
		`<domain type='test'/>`: 0,
		`<domain type='qemu'/>`: 1 << 30,
		`<domain type='qemu'><features><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features></domain>`: 32 << 20,
		`<domain type='qemu'><features><tcg><tb-cache>65536</tb-cache></tcg></features></domain>`:         64 << 20,
	} {
		var d libvirtxml.Domain
		if err := d.Unmarshal(doc); err != nil {
			t.Fatal(err)
		}
		if got := translationCache(&d); got != want {
			t.Errorf("%s: %d bytes, want %d", doc, got, want)
		}
	}
}
