package cloudinit

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// sector is ISO 9660's logical block, in bytes.
const sector = 2048

// Where a medium has what, in sectors: 16 of nothing, its descriptors, the path
// table in both byte orders, its one directory, and then the files.
const (
	atDescriptor = 16
	atTableL     = 18
	atTableM     = 19
	atDirectory  = 20
	atFiles      = 21
)

// image is an ISO 9660 file system (ECMA-119) with the files in its root. All of
// its dates are 'not specified', so that equal files make equal images. The
// libraries for this stage the files on disk, where a crash would leave secrets,
// and write the time of day.
//
// There are few files, with short names of lower case, as Linux shows them
// anyhow; a name must not have a dot.
func image(label string, files []file) []byte {
	files = slices.SortedFunc(slices.Values(files), func(a, b file) int { return cmp.Compare(a.name, b.name) })
	root := record("\x00", atDirectory, sector, true)
	directory := append(slices.Clone(root), record("\x01", atDirectory, sector, true)...)
	next := uint32(atFiles)
	for _, f := range files {
		directory = append(directory, record(f.name+";1", next, uint32(len(f.data)), false)...)
		next += sectors(len(f.data))
	}
	out := make([]byte, int(next)*sector)
	put := func(at uint32, data []byte) { copy(out[int(at)*sector:], data) }
	put(atDescriptor, descriptor(label, next, root))
	put(atDescriptor+1, []byte("\xffCD001\x01"))
	put(atTableL, pathTable(binary.LittleEndian))
	put(atTableM, pathTable(binary.BigEndian))
	put(atDirectory, directory)
	next = atFiles
	for _, f := range files {
		put(next, f.data)
		next += sectors(len(f.data))
	}
	return out
}

// sectors is how many a file of n bytes takes; an empty one has one all the same,
// so that no two files begin in one place.
func sectors(n int) uint32 { return uint32(max(1, (n+sector-1)/sector)) }

// descriptor is the primary volume descriptor: ECMA-119 8.4.
func descriptor(label string, size uint32, root []byte) []byte {
	var b bytes.Buffer
	b.WriteString("\x01CD001\x01\x00")
	b.Write(text("", 32)) // system
	b.Write(text(label, 32))
	b.Write(make([]byte, 8))
	both32(&b, size)
	b.Write(make([]byte, 32))
	both16(&b, 1) // volumes of the set
	both16(&b, 1) // which of them this is
	both16(&b, sector)
	both32(&b, pathTableSize)
	put32(&b, binary.LittleEndian, atTableL)
	put32(&b, binary.LittleEndian, 0)
	put32(&b, binary.BigEndian, atTableM)
	put32(&b, binary.BigEndian, 0)
	b.Write(root)
	b.Write(text("", 128)) // volume set
	b.Write(text("", 128)) // publisher
	b.Write(text("", 128)) // preparer
	b.Write(text("DOMUS", 128))
	b.Write(text("", 37)) // copyright, abstract and bibliography
	b.Write(text("", 37))
	b.Write(text("", 37))
	for range 4 { // created, modified, expires, effective
		b.WriteString("0000000000000000\x00")
	}
	b.WriteByte(1) // structure version
	return b.Bytes()
}

// record is an entry of a directory: ECMA-119 9.1.
func record(name string, at, size uint32, directory bool) []byte {
	var b bytes.Buffer
	length := 33 + len(name) + (len(name)+1)%2
	b.WriteByte(byte(length))
	b.WriteByte(0)
	both32(&b, at)
	both32(&b, size)
	b.Write(make([]byte, 7)) // date
	flags := byte(0)
	if directory {
		flags = 2
	}
	b.Write([]byte{flags, 0, 0})
	both16(&b, 1) // volume
	b.WriteByte(byte(len(name)))
	b.WriteString(name)
	return append(b.Bytes(), make([]byte, length-b.Len())...)
}

// pathTableSize is in bytes.
const pathTableSize = 10

// pathTable has the root alone: ECMA-119 9.4.
func pathTable(order binary.ByteOrder) []byte {
	out := make([]byte, pathTableSize)
	out[0] = 1
	order.PutUint32(out[2:], atDirectory)
	order.PutUint16(out[6:], 1)
	return out
}

func text(s string, width int) []byte {
	out := bytes.Repeat([]byte{' '}, width)
	copy(out, s)
	return out
}

func put32(b *bytes.Buffer, order binary.AppendByteOrder, n uint32) {
	b.Write(order.AppendUint32(nil, n))
}

// both32 and both16 write a number in both byte orders, as ISO 9660 has most.
func both32(b *bytes.Buffer, n uint32) {
	put32(b, binary.LittleEndian, n)
	put32(b, binary.BigEndian, n)
}

func both16(b *bytes.Buffer, n uint16) {
	b.Write(binary.LittleEndian.AppendUint16(nil, n))
	b.Write(binary.BigEndian.AppendUint16(nil, n))
}
