package libvirt

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCapabilitiesAreReadWhole(t *testing.T) {
	doc, err := os.ReadFile("testdata/capabilities.xml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseCapabilities(string(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := Description{
		Arch: "x86_64", CPUs: 6, Pages: Pages{Size2Mi: 768, Size1Gi: 2},
		Cells: []Cell{
			{ID: 0, CPUs: "0-1,4", Siblings: []string{"0,4"}, Memory: 4 << 30, Pages: Pages{Size2Mi: 512, Size1Gi: 2}, Distances: []Distance{{Cell: 1, Value: 21}}},
			{ID: 1, CPUs: "2-3,5", Memory: 2 << 30, Pages: Pages{Size2Mi: 256}, Distances: []Distance{{Cell: 0, Value: 21}}},
		},
		DomainTypes: []DomainType{
			{Type: "kvm", Arch: "x86_64", Machines: []string{"pc-q35-7.2"}},
			{Type: "qemu", Arch: "x86_64", Machines: []string{"pc-i440fx-7.2", "pc-q35-7.2"}},
			{Type: "qemu", Arch: "aarch64", Machines: []string{"virt-7.2"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnitsOfMemory(t *testing.T) {
	for unit, want := range map[string]int64{
		"": 1024, "b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "M": 1 << 20, "MiB": 1 << 20,
		"MB": 1_000_000, "G": 1 << 30, "GiB": 1 << 30, "TiB": 1 << 40,
	} {
		if got := unitBytes(unit); got != want {
			t.Errorf("%q: got %d, want %d", unit, got, want)
		}
	}
}
