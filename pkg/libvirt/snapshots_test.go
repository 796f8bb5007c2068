package libvirt

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
)

// entry is an entry of a table of snapshots, as QEMU writes it.
func entry(id, name string, extra int) []byte {
	out := make([]byte, snapshotHead+extra)
	binary.BigEndian.PutUint16(out[12:], uint16(len(id)))
	binary.BigEndian.PutUint16(out[14:], uint16(len(name)))
	binary.BigEndian.PutUint32(out[36:], uint32(extra))
	out = append(append(out, id...), name...)
	return append(out, make([]byte, (8-len(out)%8)%8)...)
}

func TestTheTableOfSnapshotsIsRead(t *testing.T) {
	table := append(append(entry("1", "domus-a", 24), entry("12", "by hand", 16)...), entry("3", "", 0)...)
	names, err := snapshotNames(table, 3)
	if diff := cmp.Diff([]string{"domus-a", "by hand", ""}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for length := range len(table) - 8 {
		if _, err := snapshotNames(table[:length], 3); !errors.Is(err, errShort) {
			t.Fatalf("of %d bytes: %v", length, err)
		}
	}
	huge := entry("1", "a", 0)
	binary.BigEndian.PutUint32(huge[36:], 1<<30)
	if _, err := snapshotNames(huge, 1); err == nil || errors.Is(err, errShort) {
		t.Errorf("an entry of a gigabyte: %v", err)
	}
}

// What QEMU's own program writes is read.
func TestAnImageOfQEMUIsRead(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	read := func() []string {
		t.Helper()
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		offset, entries, err := snapshotTable(data)
		if err != nil {
			t.Fatal(err)
		}
		names, err := snapshotNames(data[offset:], entries)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	run("create", "-f", "qcow2", image, "1M")
	if names := read(); len(names) != 0 {
		t.Errorf("a new image has %v", names)
	}
	run("snapshot", "-c", "one", image)
	run("snapshot", "-c", "two", image)
	run("snapshot", "-d", "one", image)
	run("snapshot", "-c", "domus-8e0e0a2c-1a71-4f2e-9f0b-d7c3b2f6a9aa", image)
	if diff := cmp.Diff([]string{"two", "domus-8e0e0a2c-1a71-4f2e-9f0b-d7c3b2f6a9aa"}, read()); diff != "" {
		t.Error(diff)
	}
	if _, entries, err := snapshotTable(make([]byte, 512)); entries != 0 || err != nil {
		t.Errorf("a raw image: %d, %v", entries, err)
	}
}

func TestAScratchDomainIsKnown(t *testing.T) {
	d := scratch("x", []string{"/a", "/b"})
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var read libvirtxml.Domain
	if err := read.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	if !isScratch(&read) {
		t.Errorf("it is not known by its own document:\n%s", text)
	}
	read.Metadata = nil
	if isScratch(&read) {
		t.Error("somebody else's domain of that name is taken for one")
	}
	if got := []string{scratchTarget(0), scratchTarget(25), scratchTarget(26), scratchTarget(27)}; !cmp.Equal(got, []string{"vda", "vdz", "vdaa", "vdab"}) {
		t.Error(got)
	}
}

func TestWhatAGuestMayWrite(t *testing.T) {
	volume := &libvirtxml.DomainDiskSource{Volume: &libvirtxml.DomainDiskSourceVolume{Pool: "p", Volume: "v"}}
	file := &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: "/f"}}
	d := &libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{Disks: []libvirtxml.DomainDisk{
		{Device: "disk", Source: volume}, {Device: "disk", Source: file},
		{Device: "disk", Source: file, ReadOnly: &libvirtxml.DomainDiskReadOnly{}}, {Device: "cdrom", Source: file},
	}}}
	if diff := cmp.Diff([]VolumeRef{{Pool: "p", Name: "v"}, {}}, writtenOf(d)); diff != "" {
		t.Error(diff)
	}
}
