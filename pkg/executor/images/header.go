package images

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

const (
	// headLength is how much of an image is looked at before any of it is written:
	// all headers below, and the start of an ISO 9660 volume, are within it.
	headLength = 64 << 10
	// maxVirtualSize is the largest disk, in bytes, as spec.size has it.
	maxVirtualSize = 4 << 50
)

// invalidError says why bytes are not an image that can be used.
type invalidError struct{ why string }

func (e *invalidError) Error() string { return e.why }

func invalid(format string, args ...any) error {
	return &invalidError{why: fmt.Sprintf(format, args...)}
}

// magics are how files of other formats begin that libvirt and QEMU tell by their
// first bytes. Source: libvirt's src/storage_file/storage_file_probe.c, QEMU's
// block/*.c.
var magics = []struct {
	name   string
	offset int
	magic  string
}{
	{"qcow2", 0, "QFI\xfb"},
	{"qed", 0, "QED\x00"},
	{"vmdk", 0, "KDMV"},
	{"vmdk", 0, "COWD"},
	{"vhd", 0, "conectix"},
	{"vhdx", 0, "vhdxfile"},
	{"cow", 0, "OOOM"},
	{"cloop", 0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"},
	{"bochs", 0, "Bochs Virtual HD Image"},
	{"parallels", 0, "WithoutFreeSpace"},
	{"parallels", 0, "WithouFreSpacExt"},
	{"luks", 0, "LUKS\xba\xbe"},
	{"vdi", 0x40, "\x7f\x10\xda\xbe"},
}

// compressions are how files begin that are compressed as a whole. A raw image may
// begin so: its guest may be what makes something of it.
var compressions = []struct{ name, magic string }{
	{"gzip", "\x1f\x8b"},
	{"xz", "\xfd7zXZ\x00"},
	{"bzip2", "BZh"},
	{"zstd", "\x28\xb5\x2f\xfd"},
}

// check says what a guest sees of an image of the format that begins with head, in
// bytes: 0 for one that is as long as it is. The error is an *invalidError. Nothing
// of the host is looked at, and nothing is believed that the format does not say.
func check(format v1alpha1.DiskFormat, head []byte) (int64, error) {
	if format == v1alpha1.DiskQCOW2 {
		return checkQCOW2(head)
	}
	for _, m := range magics {
		if len(head) > m.offset && bytes.HasPrefix(head[m.offset:], []byte(m.magic)) {
			return 0, invalid("it begins as a file of format %s, and spec.format is raw: a raw image that does could have other files read; create another VirtualDiskImage with spec.format qcow2 if it is that, or convert it", m.name)
		}
	}
	return 0, nil
}

// The header of qcow2. Source: QEMU's docs/interop/qcow2.txt.
const (
	qcow2Magic      = "QFI\xfb"
	qcow2V2Length   = 72
	qcow2V3Length   = 104
	qcow2MinCluster = 9
	qcow2MaxCluster = 21
	// incompatible features: a reader that does not know one must not read.
	qcow2Dirty        = 1 << 0
	qcow2Corrupt      = 1 << 1
	qcow2ExternalData = 1 << 2
	qcow2Compression  = 1 << 3
	qcow2ExtendedL2   = 1 << 4
	// qcow2MaxL1 is the longest table of first level that QEMU takes, in bytes.
	qcow2MaxL1 = 32 << 20
)

func checkQCOW2(head []byte) (int64, error) {
	for _, m := range compressions {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return 0, invalid("it is compressed with %s, and images are taken as they are: have the source, and spec.checksum, be of what comes out", m.name)
		}
	}
	if len(head) < qcow2V2Length || !bytes.HasPrefix(head, []byte(qcow2Magic)) {
		return 0, invalid("it does not begin as a file of format qcow2: create another VirtualDiskImage with spec.format raw if it is that, or convert it")
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(head[at:]) }
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(head[at:]) }
	version, backingAt, backingLength := u32(4), u64(8), u32(16)
	clusterBits, size, crypt, l1 := u32(20), u64(24), u32(32), u32(36)
	switch {
	case version != 2 && version != 3:
		return 0, invalid("its version of qcow2 is %d: convert it with qemu-img convert -O qcow2", version)
	case backingAt != 0 || backingLength != 0:
		return 0, invalid("it has a backing file, which would be read on the host: convert it with qemu-img convert -O qcow2, which copies what that has")
	case crypt != 0:
		return 0, invalid("it is encrypted: convert it with qemu-img convert")
	case clusterBits < qcow2MinCluster || clusterBits > qcow2MaxCluster:
		return 0, invalid("its header is damaged: clusters of 2^%d bytes", clusterBits)
	case size == 0:
		return 0, invalid("it has a size of 0")
	case size > maxVirtualSize:
		return 0, invalid("a guest would see %d bytes of it: the largest disk has %s", size, capacity.Bytes(maxVirtualSize))
	case uint64(l1)*8 > qcow2MaxL1 || uint64(l1) < tablesOf(size, clusterBits):
		return 0, invalid("its header is damaged: a table of %d entries for %d bytes", l1, size)
	}
	if version == 2 {
		return int64(size), nil
	}
	if len(head) < qcow2V3Length || u32(100) < qcow2V3Length || u32(100) > 1<<clusterBits {
		return 0, invalid("its header is damaged or cut off")
	}
	switch features := u64(72); {
	case features&qcow2ExternalData != 0:
		return 0, invalid("its data is in another file, which would be read on the host: convert it with qemu-img convert -O qcow2")
	case features&qcow2Corrupt != 0:
		return 0, invalid("it is marked as damaged: repair it with qemu-img check -r all")
	case features&^(qcow2Dirty|qcow2Compression|qcow2ExtendedL2) != 0:
		return 0, invalid("it has features that are not known (%#x): convert it with qemu-img convert -O qcow2", features)
	}
	return int64(size), nil
}

// tablesOf is the least number of entries in the table of first level of an image
// of size bytes: each stands for a table of one cluster, of entries of 8 bytes or,
// with subclusters, 16.
func tablesOf(size uint64, clusterBits uint32) uint64 {
	perEntry := uint64(1) << (2*clusterBits - 3)
	n, carry := bits.Add64(size, perEntry-1, 0)
	if carry != 0 {
		return ^uint64(0)
	}
	return n / perEntry
}
