package executor

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/images"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

// newImages returns the keeper of the host's images.
func (a *Agent) newImages(o Options) *images.Keeper {
	watched := o.Images
	if watched == nil {
		watched = noImages{}
	}
	return images.New(images.Options{
		Node: o.Config.NodeName, Storage: o.Host, Live: o.Live, Images: watched, Disks: o.Disks, Pools: poolsOf{a},
		Origins: o.Config.Origins(), Peers: peersOf(o), Grace: o.Config.GraceOfImages(), Recorder: o.Recorder, Clock: o.Clock,
		Changed: func(disk types.NamespacedName) { a.volumes.Enqueue(disk) },
	})
}

// peersOf are the other hosts; nil when this one exchanges no volumes.
func peersOf(o Options) *transfer.Peers {
	if o.Transfer == nil {
		return nil
	}
	return peers(o.Live, o.Transfer)
}

// noImages is a watch that has none.
type noImages struct{}

// Image implements images.Images.
func (noImages) Image(context.Context, types.NamespacedName) *v1alpha1.VirtualDiskImage { return nil }

// All implements images.Images.
func (noImages) All(context.Context) []*v1alpha1.VirtualDiskImage { return nil }

// poolsOf are the agent's pools, as its keeper of volumes has seen them. The two
// keepers know each other.
type poolsOf struct{ *Agent }

// Pool implements images.Pools.
func (p poolsOf) Pool(name string) (libvirt.Pool, bool) { return p.volumes.Pool(name) }

// Spare implements images.Pools.
func (p poolsOf) Spare(ctx context.Context, pool string) int64 { return p.volumes.Spare(ctx, pool) }

// Look implements images.Pools.
func (p poolsOf) Look() { p.volumes.Look() }

// Image implements images.Images.
func (w *Watch) Image(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDiskImage {
	image := &v1alpha1.VirtualDiskImage{}
	if !w.cache.WaitForCacheSync(ctx) || w.cache.Get(ctx, key, image) != nil {
		return nil
	}
	return image
}

// All implements images.Images.
func (w *Watch) All(ctx context.Context) []*v1alpha1.VirtualDiskImage {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualDiskImage{}, cache.BlockUntilSynced(false))
	if err != nil || !informer.HasSynced() {
		return nil
	}
	list := &v1alpha1.VirtualDiskImageList{}
	if w.cache.List(ctx, list, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	out := make([]*v1alpha1.VirtualDiskImage, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out
}

// followImages wakes the agent for images. They are all watched, whichever host needs
// them: they change seldom, and there are few.
func (w *Watch) followImages(ctx context.Context, a *Agent) error {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualDiskImage{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching VirtualDiskImages: %w", err)
	}
	if _, err := informer.AddEventHandler(whenever(func(key types.NamespacedName) { a.images.Heard(ctx, key) })); err != nil {
		return fmt.Errorf("watching VirtualDiskImages: %w", err)
	}
	return nil
}
