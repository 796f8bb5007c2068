package disklocality

import (
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// fetched is an image that a disk without a home begins with. Its host fetches it into
// the disk's pool, where it takes room beside the disk.
type fetched struct {
	image *v1alpha1.VirtualDiskImage
	pool  string
}

// begin takes note of the image that the disk begins with, and returns how large the
// disk is at least, in bytes; 0 when that is not known.
//
// An image that is not there keeps nobody from being placed: the disk waits for it on
// its host, and says so. Nor is its room promised to the VM, as the disk's is: what is
// fetched is the host's to count from its first byte on, and twice it would keep others
// out.
func (d *demand) begin(images Images, disk *v1alpha1.VirtualDisk, name string) int64 {
	if images == nil {
		return 0
	}
	image := images(disk.Namespace, name)
	if image == nil {
		return 0
	}
	known := fetched{image: image, pool: disk.Pool()}
	if !slices.Contains(d.images, known) {
		d.images = append(d.images, known)
	}
	if s := image.Spec.Size; s != nil {
		return s.Value()
	}
	return image.Status.VirtualSize
}

// missing is how many bytes of images the host has yet to fetch into the pool, as far
// as their length is known.
func (d *demand) missing(host, pool string) (bytes int64) {
	for _, f := range d.images {
		if f.pool == pool && f.image.Status.CopyAt(host, pool) == nil {
			bytes += f.image.Status.Bytes
		}
	}
	return bytes
}
