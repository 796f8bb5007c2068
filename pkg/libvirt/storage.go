package libvirt

import (
	"context"
	"io"
)

// Storage are the host's storage pools and the volumes in them. Copies take as
// long as they take; nothing of it holds back what is done to domains.
//
// Errors of all of them: ErrNoPool when there is no such pool or it is not
// active, ErrUnavailable, ErrTimeout, and libvirt's own.
type Storage interface {
	// Pools lists the active pools, sorted by name, with what libvirt knew of
	// their space when it last looked.
	Pools(ctx context.Context) ([]Pool, error)
	// RefreshPool has libvirt look into the pool anew: how much space there is,
	// and which volumes others have made. Errors: ErrPoolBusy.
	RefreshPool(ctx context.Context, pool string) error
	// Volumes lists the pool's volumes, sorted by name.
	Volumes(ctx context.Context, pool string) ([]Volume, error)
	// Volume looks one up. Errors: ErrNoVolume.
	Volume(ctx context.Context, pool, name string) (Volume, error)
	// CreateVolume makes a volume that reads as zeros. What is left of one that
	// could not be made is removed. Errors: ErrVolumeExists, ErrNoSpace,
	// ErrUnsupported.
	CreateVolume(ctx context.Context, pool string, v NewVolume) error
	// CopyVolume makes a volume with the content of another one of the host, which
	// nobody may write meanwhile. It is never smaller than that one. Errors: those
	// of CreateVolume, and ErrNoVolume for the source.
	CopyVolume(ctx context.Context, pool string, v NewVolume, fromPool, from string) error
	// ResizeVolume gives a volume that no guest uses a larger capacity in bytes.
	// Errors: ErrNoVolume, ErrNoSpace, ErrUnsupported.
	ResizeVolume(ctx context.Context, pool, name string, capacity int64) error
	// GrowDisk gives the disk of a running guest that is the volume a larger
	// capacity in bytes, and tells the guest. Errors: ErrNotFound for the domain,
	// ErrNoVolume when the guest has no such disk, ErrWrongState.
	GrowDisk(ctx context.Context, uuid, pool, name string, capacity int64) error
	// DeleteVolume removes a volume. One that is not there is success. Errors:
	// ErrPoolBusy while it is still being made.
	DeleteVolume(ctx context.Context, pool, name string) error
	// Upload writes the volume's bytes, from its beginning, as they come. Errors:
	// ErrNoVolume, ErrUnsupported, and from's own.
	Upload(ctx context.Context, pool, name string, from io.Reader, length int64) error
	// Append writes bytes into the volume from offset, as they come, until from ends.
	// A volume that is a file may become longer by it. Errors: those of Upload, and
	// ErrNoSpace.
	Append(ctx context.Context, pool, name string, offset int64, from io.Reader) error
	// Download reads all of a volume's bytes. Errors: ErrNoVolume, ErrUnsupported,
	// and to's own.
	Download(ctx context.Context, pool, name string, to io.Writer) error
	Content
}

// Content are the bytes of volumes, holes left out. They are the volume's own: of
// a qcow2 volume the file's, and not what a guest sees. Once ctx has ended each
// returns when libvirt is done with the volume. Errors of all: ErrNoVolume,
// ErrNoSpace, ErrUnsupported.
type Content interface {
	// VolumeLength is how many bytes there are to read.
	VolumeLength(ctx context.Context, pool, name string) (int64, error)
	// ReadVolume reads length bytes from offset. Errors: io.ErrUnexpectedEOF when
	// the volume has fewer; to's own.
	ReadVolume(ctx context.Context, pool, name string, offset, length int64, to ContentSink) error
	// WriteVolume writes length bytes at offset. With sparse, which pools of files
	// take alone, a hole is made by cutting the file off where it begins: all that
	// was behind it is gone. Errors: io.ErrUnexpectedEOF when from has fewer; from's
	// own.
	WriteVolume(ctx context.Context, pool, name string, offset, length int64, sparse bool, from ContentSource) error
}

// Pool is an active storage pool.
type Pool struct {
	Name string
	// Type is libvirt's: dir, fs, netfs, logical, rbd, zfs, ...
	Type string
	// Path is where the pool is on the host; empty for pools that are nowhere.
	Path string
	// Store is the same on every host that has this very store as a pool, such as
	// netfs://server/export. It is empty for a store that only this host has.
	Store string
	// Capacity, Allocation and Available are in bytes.
	Capacity, Allocation, Available int64
}

// Volume formats.
const (
	FormatRaw   = "raw"
	FormatQCOW2 = "qcow2"
)

// NewVolume is a volume to be made.
type NewVolume struct {
	Name string
	// Format is raw or qcow2. Pools whose volumes are no files have raw alone.
	Format string
	// Capacity is what a guest sees, in bytes.
	Capacity int64
	// Backing is the path of the image from which what is not written is read, and
	// BackingFormat its format; none when empty.
	Backing, BackingFormat string
	// Preallocated takes all of the space at once.
	Preallocated bool
}

// Volume is a volume as libvirt has it.
type Volume struct {
	Name string
	// Path is where it is on the host.
	Path   string
	Format string
	// Capacity is what a guest sees, and Allocation what it takes of the pool now,
	// in bytes.
	Capacity, Allocation int64
	// Length is how long the file is that the volume is, in bytes; 0 where libvirt
	// does not say.
	Length int64
	// Backing is the path of the image that it is based on; empty for none.
	Backing string
	// Modified is when a file was written last, in words that differ from time to
	// time; empty for volumes of which that is not known.
	Modified string
}
