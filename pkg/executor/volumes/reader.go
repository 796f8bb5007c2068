package volumes

import (
	"context"
	"io"

	"domus.dev/domus/pkg/libvirt"
)

// Reader reads a volume of a pool as a file.
type Reader struct{ volumeReader }

var _ io.ReadSeeker = &Reader{}

// NewReader returns a Reader of the first length bytes. Stop ends it.
func NewReader(ctx context.Context, storage libvirt.Storage, pool, name string, length int64) *Reader {
	return &Reader{volumeReader{ctx: ctx, storage: storage, pool: pool, name: name, length: length}}
}

// Stop ends reading, and returns when libvirt is done with the volume.
func (r *Reader) Stop() { r.stop() }
