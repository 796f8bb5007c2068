package images

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// qcow2 is the header of a good image of 1 GiB.
func qcow2(changes ...func([]byte)) []byte {
	h := make([]byte, 512)
	copy(h, qcow2Magic)
	put32(4, 3)(h)
	put32(20, 16)(h)
	put64(24, 1<<30)(h)
	put32(36, 2)(h)
	put32(100, 104)(h)
	for _, f := range changes {
		f(h)
	}
	return h
}

func put32(at int, v uint32) func([]byte) {
	return func(h []byte) { binary.BigEndian.PutUint32(h[at:], v) }
}

func put64(at int, v uint64) func([]byte) {
	return func(h []byte) { binary.BigEndian.PutUint64(h[at:], v) }
}

func TestCheck(t *testing.T) {
	vdi := make([]byte, 512)
	copy(vdi[0x40:], "\x7f\x10\xda\xbe")
	for name, test := range map[string]struct {
		format v1alpha1.DiskFormat
		head   []byte
		size   int64
		// says is of the error; "" for none.
		says string
	}{
		"qcow2":                               {v1alpha1.DiskQCOW2, qcow2(), 1 << 30, ""},
		"qcow2 of the version before":         {v1alpha1.DiskQCOW2, qcow2(put32(4, 2), put32(100, 0), put64(72, 0)), 1 << 30, ""},
		"raw":                                 {v1alpha1.DiskRaw, []byte("anything"), 0, ""},
		"raw, shorter than any header":        {v1alpha1.DiskRaw, []byte("Q"), 0, ""},
		"compressed with gzip":                {v1alpha1.DiskQCOW2, []byte("\x1f\x8b\x08\x00"), 0, "compressed with gzip"},
		"compressed with xz":                  {v1alpha1.DiskQCOW2, []byte("\xfd7zXZ\x00\x00"), 0, "compressed with xz"},
		"raw that is an archive":              {v1alpha1.DiskRaw, []byte("\x1f\x8b\x08\x00"), 0, ""},
		"with a backing file":                 {v1alpha1.DiskQCOW2, qcow2(put64(8, 512), put32(16, 11)), 0, "backing file"},
		"with a backing file of no length":    {v1alpha1.DiskQCOW2, qcow2(put64(8, 512)), 0, "backing file"},
		"with its data in another file":       {v1alpha1.DiskQCOW2, qcow2(put64(72, qcow2ExternalData)), 0, "in another file"},
		"marked as damaged":                   {v1alpha1.DiskQCOW2, qcow2(put64(72, qcow2Corrupt)), 0, "damaged"},
		"not closed well":                     {v1alpha1.DiskQCOW2, qcow2(put64(72, qcow2Dirty)), 1 << 30, ""},
		"with a feature of a later time":      {v1alpha1.DiskQCOW2, qcow2(put64(72, 1<<40)), 0, "not known (0x10000000000)"},
		"encrypted":                           {v1alpha1.DiskQCOW2, qcow2(put32(32, 1)), 0, "encrypted"},
		"of a later version":                  {v1alpha1.DiskQCOW2, qcow2(put32(4, 4)), 0, "version of qcow2 is 4"},
		"of a size beyond all":                {v1alpha1.DiskQCOW2, qcow2(put64(24, 1<<63)), 0, "largest disk has 4Pi"},
		"of no size":                          {v1alpha1.DiskQCOW2, qcow2(put64(24, 0)), 0, "size of 0"},
		"of clusters beyond all":              {v1alpha1.DiskQCOW2, qcow2(put32(20, 63)), 0, "clusters of 2^63"},
		"with a table too short":              {v1alpha1.DiskQCOW2, qcow2(put64(24, 1<<40)), 0, "a table of 2 entries"},
		"with a table that fills the memory":  {v1alpha1.DiskQCOW2, qcow2(put32(36, 1<<31)), 0, "a table of"},
		"cut off":                             {v1alpha1.DiskQCOW2, qcow2()[:80], 0, "cut off"},
		"cut off before anything":             {v1alpha1.DiskQCOW2, qcow2()[:30], 0, "does not begin as"},
		"raw said to be qcow2":                {v1alpha1.DiskQCOW2, make([]byte, 512), 0, "does not begin as a file of format qcow2: create another VirtualDiskImage with spec.format raw"},
		"qcow2 said to be raw":                {v1alpha1.DiskRaw, qcow2(), 0, "create another VirtualDiskImage with spec.format qcow2"},
		"a descriptor of vmdk said to be raw": {v1alpha1.DiskRaw, []byte("KDMV and more"), 0, "format vmdk"},
		"vdi said to be raw":                  {v1alpha1.DiskRaw, vdi, 0, "format vdi"},
		"LUKS said to be raw":                 {v1alpha1.DiskRaw, []byte("LUKS\xba\xbe\x00\x02"), 0, "format luks"},
	} {
		t.Run(name, func(t *testing.T) {
			size, err := check(test.format, test.head)
			if size != test.size {
				t.Errorf("size %d, want %d", size, test.size)
			}
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

// What qemu-img makes is told apart as its own options say.
func TestCheckWhatQEMUMakes(t *testing.T) {
	dir := t.TempDir()
	make := func(name string, args ...string) []byte {
		t.Helper()
		path := filepath.Join(dir, name)
		if out, err := exec.Command("qemu-img", append(append([]string{"create", "-q"}, args...), path, "5G")...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		head, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return head[:min(len(head), headLength)]
	}
	base := make("base", "-f", "qcow2")
	for name, good := range map[string][]byte{
		"plain":    base,
		"old":      make("old", "-f", "qcow2", "-o", "compat=0.10"),
		"zstd":     make("zstd", "-f", "qcow2", "-o", "compression_type=zstd"),
		"extended": make("extended", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=128k"),
		"small":    make("small", "-f", "qcow2", "-o", "cluster_size=512"),
		"huge":     make("huge", "-f", "qcow2", "-o", "cluster_size=2M"),
	} {
		if size, err := check(v1alpha1.DiskQCOW2, good); size != 5<<30 || err != nil {
			t.Errorf("%s: size %d, %v", name, size, err)
		}
		if _, err := check(v1alpha1.DiskRaw, good); err == nil {
			t.Errorf("%s is taken for raw", name)
		}
	}
	for name, bad := range map[string][]byte{
		"backed":  make("backed", "-f", "qcow2", "-b", filepath.Join(dir, "base"), "-F", "qcow2"),
		"outside": make("outside", "-f", "qcow2", "-o", "data_file="+filepath.Join(dir, "data")),
	} {
		if _, err := check(v1alpha1.DiskQCOW2, bad); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, format := range []string{"vmdk", "vdi", "qed", "vhdx", "parallels"} {
		if _, err := check(v1alpha1.DiskRaw, make("as-"+format, "-f", format)); err == nil {
			t.Errorf("%s is taken for raw", format)
		}
	}
}

// Whatever the bytes are, the check ends and no size is beyond bounds.
func FuzzCheck(f *testing.F) {
	f.Add(qcow2())
	f.Fuzz(func(t *testing.T, head []byte) {
		for _, format := range []v1alpha1.DiskFormat{v1alpha1.DiskQCOW2, v1alpha1.DiskRaw} {
			if size, err := check(format, head); size < 0 || size > maxVirtualSize || err != nil && size != 0 {
				t.Errorf("size %d, %v", size, err)
			}
		}
	})
}
