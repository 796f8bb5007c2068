package libvirt

import (
	"os"
	"testing"
	"time"

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

func TestKVMIsChosenWhenItIsWorthIt(t *testing.T) {
	for name, c := range map[string]struct {
		hardware, emulated time.Duration
		works, emulates    bool
		want               string
	}{
		"as fast as emulation through the firmware": {hardware: 100 * time.Millisecond, emulated: 120 * time.Millisecond, works: true, emulates: true, want: "kvm"},
		"slow because the host is loaded":           {hardware: 3 * time.Second, emulated: 2 * time.Second, works: true, emulates: true, want: "kvm"},
		"within the noise":                          {hardware: 900 * time.Millisecond, emulated: 50 * time.Millisecond, works: true, emulates: true, want: "kvm"},
		"far slower than emulation":                 {hardware: 5 * time.Second, emulated: 100 * time.Millisecond, works: true, emulates: true, want: "qemu"},
		"stuck in the firmware":                     {emulated: 100 * time.Millisecond, emulates: true, want: "qemu"},
		"nothing to compare with":                   {hardware: 5 * time.Second, works: true, want: "kvm"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(c.hardware, c.works, c.emulated, c.emulates); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
