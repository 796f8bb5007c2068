package libvirt

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The head of a qcow2 image, and its table of snapshots. Source: QEMU's
// docs/interop/qcow2.txt. All numbers are big-endian.
const (
	qcow2Magic = 0x514649fb
	// qcow2Head is as much of the head as is read.
	qcow2Head = 72
	// snapshotHead is what each entry of the table begins with.
	snapshotHead = 40
	// maxSnapshots is QEMU's own bound.
	maxSnapshots = 65536
)

// errShort says that more of the table has to be read.
var errShort = errors.New("the table of snapshots goes on")

// snapshotTable says where the table is, in bytes from the image's beginning, and
// how many entries it has; none of an image that is not qcow2.
func snapshotTable(head []byte) (offset uint64, entries int, err error) {
	if len(head) < qcow2Head || binary.BigEndian.Uint32(head) != qcow2Magic {
		return 0, 0, nil
	}
	n := binary.BigEndian.Uint32(head[60:])
	if n > maxSnapshots {
		return 0, 0, fmt.Errorf("the image says that it has %d snapshots", n)
	}
	return binary.BigEndian.Uint64(head[64:]), int(n), nil
}

// snapshotNames reads so many entries of the table. Errors: errShort.
func snapshotNames(table []byte, entries int) ([]string, error) {
	var names []string
	for range entries {
		if len(table) < snapshotHead {
			return nil, errShort
		}
		id, name := int(binary.BigEndian.Uint16(table[12:])), int(binary.BigEndian.Uint16(table[14:]))
		extra := int(binary.BigEndian.Uint32(table[36:]))
		at := snapshotHead + extra + id
		length := (at + name + 7) &^ 7
		if extra > 1<<16 {
			return nil, fmt.Errorf("entry %d of the table of snapshots cannot be read", len(names))
		}
		// The last entry may end without its padding.
		if len(table) < at+name {
			return nil, errShort
		}
		names = append(names, string(table[at:at+name]))
		table = table[min(length, len(table)):]
	}
	return names, nil
}
