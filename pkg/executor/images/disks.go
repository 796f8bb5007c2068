package images

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

func cutMark(name, suffix string) (string, bool) { return strings.CutSuffix(name, suffix) }

// poolFor is the pool in which the image of a disk is kept: the disk's own where
// that has files, and otherwise the default one; false where that has none either.
func (k *Keeper) poolFor(disk *v1alpha1.VirtualDisk) (libvirt.Pool, bool) {
	for _, name := range []string{disk.Pool(), v1alpha1.DefaultPoolName} {
		if pool, ok := k.Pools.Pool(name); ok && filePools[pool.Type] {
			return pool, true
		}
	}
	return libvirt.Pool{}, false
}

// waiting lists the disks here that are to be made of the image in the pool; false
// before the watch has read them.
func (k *Keeper) waiting(ctx context.Context, image types.NamespacedName, pool string) (waiting []types.NamespacedName, all bool) {
	disks, all := k.Disks.Disks(ctx)
	for _, d := range disks {
		if d.Namespace != image.Namespace || d.ImageOf() != image.Name || d.Status.NodeName != k.Node {
			continue
		}
		if at, ok := k.poolFor(d); !ok || at.Name != pool {
			continue
		}
		if d.Status.VolumeName == "" && d.DeletionTimestamp == nil {
			waiting = append(waiting, client.ObjectKeyFromObject(d))
		}
	}
	return waiting, all
}

// tell has the disks looked at that wait for the image.
func (k *Keeper) tell(ctx context.Context, image types.NamespacedName) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	disks, _ := k.Disks.Disks(ctx)
	for _, d := range disks {
		if d.Namespace == image.Namespace && d.ImageOf() == image.Name && d.Status.VolumeName == "" {
			k.Changed(client.ObjectKeyFromObject(d))
		}
	}
}

// Look implements volumes.Images.
func (k *Keeper) Look(ctx context.Context, disk *v1alpha1.VirtualDisk) (volumes.Image, error) {
	name := types.NamespacedName{Namespace: disk.Namespace, Name: disk.ImageOf()}
	pool, ok := k.poolFor(disk)
	if !ok {
		return volumes.Image{
			Reason:  v1alpha1.ReasonPoolMissing,
			Message: fmt.Sprintf("images are kept in pools of files, and host %s has neither one of them named %s nor %s: define and start one there", k.Node, disk.Pool(), v1alpha1.DefaultPoolName),
		}, nil
	}
	image := k.Images.Image(ctx, name)
	switch {
	case image == nil:
		return volumes.Image{Reason: v1alpha1.ReasonImageMissing, Message: fmt.Sprintf("there is no VirtualDiskImage %s: create it", name.Name)}, nil
	case image.DeletionTimestamp != nil:
		return volumes.Image{Reason: v1alpha1.ReasonImageMissing, Message: fmt.Sprintf("VirtualDiskImage %s is being deleted: create it again when it is gone", name.Name)}, nil
	}
	out := volumes.Image{Format: image.Spec.Format, Pool: pool.Name, Name: volumeName(image, &pool, k.mark())}
	key := libvirt.VolumeRef{Pool: out.Pool, Name: out.Name}
	w := k.work(key)
	k.mu.Lock()
	ready, fetching := w.ready, w.fetching
	out.Reason, out.Message = w.reason, "VirtualDiskImage "+name.Name+" "+w.message
	switch {
	case fetching && w.total > 0:
		// In steps, since each is a write.
		out.Message = fmt.Sprintf("VirtualDiskImage %s is being fetched: %d%% of %s", name.Name, w.fetched*100/w.total/5*5, capacity.Bytes(w.total))
	case fetching && w.fetched > 0:
		out.Message = fmt.Sprintf("VirtualDiskImage %s is being fetched: its source does not say how large it is", name.Name)
	case fetching:
		out.Message = fmt.Sprintf("VirtualDiskImage %s is being fetched: its source has been asked", name.Name)
	}
	k.mu.Unlock()
	if ready != nil {
		there, err := k.volume(ctx, key.Pool, key.Name)
		if err != nil {
			return out, err
		}
		if there != nil && fits(image, there) == "" {
			out.Volume, out.Reason, out.Message = there, "", ""
			return out, nil
		}
	}
	if !fetching {
		k.queue.Add(key)
	}
	return out, nil
}

// Hold implements volumes.Images.
func (k *Keeper) Hold(pool, volume string) (func(), bool) {
	key := libvirt.VolumeRef{Pool: pool, Name: volume}
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.works[key]
	if w == nil || w.ready == nil {
		return nil, false
	}
	w.held++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		w.held--
		k.queue.AddAfter(key, time.Second) // it may be needed no more
	}, true
}
