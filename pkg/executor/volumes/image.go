package volumes

import (
	"context"
	"errors"
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/libvirt"
)

// Images are the images that disks of the host begin with.
type Images interface {
	// Look says how it is with the disk's image. One that is not there is fetched
	// while a disk waits for it; Options.Changed is called when it is further.
	Look(ctx context.Context, disk *v1alpha1.VirtualDisk) (Image, error)
	// Hold keeps an image where it is until the returned function is called; false
	// when it is not there any more.
	Hold(pool, volume string) (func(), bool)
	// Saw tells of the volumes of a pool.
	Saw(pool libvirt.Pool, volumes []libvirt.Volume)
	// Promised is how much of the pool images are still to take, in bytes.
	Promised(pool string) int64
}

// Image is what a disk begins with.
type Image struct {
	// Pool and Name are where it is, or is to be.
	Pool, Name string
	Format     v1alpha1.DiskFormat
	// Volume is nil until it is there, whole and verified. Reason and Message say
	// what is waited for then.
	Volume          *libvirt.Volume
	Reason, Message string
}

// NoImages is for hosts without any.
type NoImages struct{}

// Look implements Images.
func (NoImages) Look(_ context.Context, disk *v1alpha1.VirtualDisk) (Image, error) {
	return Image{Reason: v1alpha1.ReasonImageMissing, Message: fmt.Sprintf("there is no VirtualDiskImage %s: create it", disk.ImageOf())}, nil
}

// Hold implements Images.
func (NoImages) Hold(string, string) (func(), bool) { return nil, false }

// Saw implements Images.
func (NoImages) Saw(libvirt.Pool, []libvirt.Volume) {}

// Promised implements Images.
func (NoImages) Promised(string) int64 { return 0 }

// waitsForImage is why the disk cannot be made of its image; an empty reason when it
// can.
func waitsForImage(in Situation) (phase v1alpha1.DiskPhase, reason, message string) {
	d, image := in.Disk, in.Image
	name := d.ImageOf()
	switch {
	case image == nil:
		return v1alpha1.DiskPending, v1alpha1.ReasonImageNotReady, "VirtualDiskImage " + name + " has not been looked for yet"
	case image.Volume == nil:
		return v1alpha1.DiskPending, image.Reason, image.Message
	case d.Spec.Size != nil && d.Claim() < image.Volume.Capacity:
		return v1alpha1.DiskFailed, v1alpha1.ReasonSourceLarger, fmt.Sprintf("VirtualDiskImage %s has %s, and spec.size is %s: make it at least as large, or leave it out", name, capacity.Bytes(image.Volume.Capacity), capacity.Bytes(d.Claim()))
	case !d.StandsOnImage():
		return "", "", ""
	case in.Pool.Store != "":
		return v1alpha1.DiskFailed, v1alpha1.ReasonInvalidVolume, fmt.Sprintf("storage pool %s is in a store that several hosts have, where no disk stands on an image of one of them: set spec.source.image.clone to Full in a new VirtualDisk", d.Pool())
	case image.Pool != d.Pool() || formatIn(d, in.Pool.Type) != v1alpha1.DiskQCOW2:
		return v1alpha1.DiskFailed, v1alpha1.ReasonInvalidVolume, fmt.Sprintf("a disk stands on its image in a pool of files and as qcow2 alone, and storage pool %s is of type %s: set spec.source.image.clone to Full in a new VirtualDisk", d.Pool(), in.Pool.Type)
	}
	return "", "", ""
}

// beginWith makes the volume of the disk's image, which stays meanwhile.
func (k *Keeper) beginWith(ctx context.Context, d *v1alpha1.VirtualDisk, v libvirt.NewVolume, image *Image) error {
	release, ok := k.Images.Hold(image.Pool, image.Name)
	if !ok {
		return errors.New("the image was removed just now")
	}
	defer release()
	if !d.StandsOnImage() {
		return k.Storage.CopyVolume(ctx, d.Pool(), v, image.Pool, image.Name)
	}
	v.Backing, v.BackingFormat = image.Volume.Path, string(image.Format)
	return k.Storage.CreateVolume(ctx, d.Pool(), v)
}

// Pool is a storage pool as it was last seen; false for one that the host does not
// have, or that is not active.
func (k *Keeper) Pool(name string) (libvirt.Pool, bool) {
	pool, _, ok := k.pools.get(name)
	return pool, ok
}

// Spare is what of the pool is promised to no disk, in bytes.
func (k *Keeper) Spare(ctx context.Context, pool string) int64 {
	_, allocatable, _ := k.pools.get(pool)
	all, _ := k.Disks.Disks(ctx)
	for _, d := range all {
		if d.Pool() == pool {
			allocatable -= max(d.Claim(), k.ledger.promised(d.UID))
		}
	}
	return allocatable
}
