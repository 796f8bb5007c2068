package disklocality

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/inorder"
	"domus.dev/domus/pkg/podless"
)

// ErrNotSynced says that the VirtualDisks have not all been read yet; as an error
// it has a VM tried again soon.
var ErrNotSynced = errors.New("the VirtualDisks have not been read yet")

// Writer stores where a disk's home is and which VM has it; see binding.Disks.
type Writer interface {
	// ClaimDisk writes home and claim (nil: nobody's) of observed, or nothing where
	// it has them already. On an error nothing has been written, but where it is
	// diskstatus.ErrUnknown.
	ClaimDisk(ctx context.Context, observed *v1alpha1.VirtualDisk, home v1alpha1.DiskHome, claim *v1alpha1.DiskClaim) error
}

// VMs looks a VM up in a cache; nil when there is none.
type VMs func(namespace, name string) *v1alpha1.VirtualMachine

// Images looks a VirtualDiskImage up in a cache; nil when there is none.
type Images func(namespace, name string) *v1alpha1.VirtualDiskImage

// Disks are the VirtualDisks as the scheduler sees them, with what is promised of
// pools. All profiles share one. It is safe for concurrent use.
type Disks struct {
	follower *inorder.Follower
	vms      VMs
	writer   Writer
	images   Images

	pods sync.Once

	mu    sync.RWMutex
	disks map[types.NamespacedName]*v1alpha1.VirtualDisk
	// claims are the bytes that disks with a home, and promises, take of each
	// place.
	claims map[place]int64
	// promises are by the UID of the disk.
	promises map[types.UID]*promise
}

// New returns Disks for the VirtualDisks of an informer. They are none before
// Follow, which the scheduler's queue calls through Factory.
func New(disks inorder.Informer, vms VMs, writer Writer) *Disks {
	return &Disks{
		follower: inorder.NewFollower(disks, "VirtualDisks"), vms: vms, writer: writer,
		disks: map[types.NamespacedName]*v1alpha1.VirtualDisk{}, claims: map[place]int64{}, promises: map[types.UID]*promise{},
	}
}

// WithImages has the room that images take counted too, and what disks are to have
// that are as large as theirs. It is called before Follow.
func (d *Disks) WithImages(images Images) *Disks {
	d.images = images
	return d
}

// Follow begins to follow the VirtualDisks, and calls then after each that has
// been taken over.
func (d *Disks) Follow(then cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return d.follower.Follow(cache.ResourceEventHandlerFuncs{AddFunc: d.saw, UpdateFunc: func(_, obj any) { d.saw(obj) }, DeleteFunc: d.lost}, then)
}

// Synced says whether all VirtualDisks have been read.
func (d *Disks) Synced() bool { return d.follower.Synced() }

func (d *Disks) saw(obj any) {
	if disk, ok := obj.(*v1alpha1.VirtualDisk); ok {
		d.See(disk)
	}
}

// See takes over a VirtualDisk, which must not be changed afterwards.
func (d *Disks) See(disk *v1alpha1.VirtualDisk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := types.NamespacedName{Namespace: disk.Namespace, Name: disk.Name}
	if old := d.disks[key]; old != nil {
		d.count(old, -1)
		if old.UID != disk.UID {
			d.drop(old.UID)
		}
	}
	d.disks[key] = disk
	d.count(disk, 1)
	if p := d.promises[disk.UID]; p != nil && disk.Status.NodeName != "" && (!p.moving || disk.Status.MoveTo != nil) {
		d.give(p) // the disk takes it itself now
		d.tidy(disk.UID, p)
	}
}

func (d *Disks) lost(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	disk, ok := obj.(*v1alpha1.VirtualDisk)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := types.NamespacedName{Namespace: disk.Namespace, Name: disk.Name}
	if old := d.disks[key]; old != nil && old.UID == disk.UID {
		d.count(old, -1)
		delete(d.disks, key)
	}
	d.drop(disk.UID)
}

// count adds what a disk with a home takes there, times sign; mu is held.
func (d *Disks) count(disk *v1alpha1.VirtualDisk, sign int64) {
	if at, ok := homeOf(disk); ok {
		d.take(at, sign*disk.Claim())
	}
	if at, ok := targetOf(disk); ok {
		d.take(at, sign*disk.Claim())
	}
}

func (d *Disks) take(at place, bytes int64) {
	if sum := d.claims[at] + bytes; sum != 0 {
		d.claims[at] = sum
	} else {
		delete(d.claims, at)
	}
}

// give gives back the bytes that a promise holds; mu is held.
func (d *Disks) give(p *promise) {
	d.take(p.at, -p.bytes)
	p.at, p.bytes, p.writes, p.moving = place{}, 0, 0, false
}

// drop forgets a promise; mu is held.
func (d *Disks) drop(disk types.UID) {
	if p := d.promises[disk]; p != nil {
		d.give(p)
		delete(d.promises, disk)
	}
}

// tidy forgets a promise that holds nothing more; mu is held.
func (d *Disks) tidy(disk types.UID, p *promise) {
	if p.vm == "" && p.bytes == 0 {
		delete(d.promises, disk)
	}
}

// Promises counts what is held: when nothing is being bound it falls to 0, or
// something has leaked.
func (d *Disks) Promises() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.promises)
}

// FollowVMs forgets which VM a disk is being given to when the scheduler sees that
// one bound, or gone: from then on the VM itself tells. Calling it again, as each
// profile does, changes nothing.
func (d *Disks) FollowVMs(pods inorder.Informer) (err error) {
	d.pods.Do(func() {
		arrived := func(obj any) {
			if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.NodeName != "" && podless.IsProjected(pod.Name) && podless.DisksTextOf(pod) != "" {
				d.ended(pod.UID, true)
			}
		}
		_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: arrived, UpdateFunc: func(_, obj any) { arrived(obj) },
			DeleteFunc: func(obj any) {
				if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = unknown.Obj
				}
				if pod, ok := obj.(*corev1.Pod); ok && podless.DisksTextOf(pod) != "" {
					d.ended(pod.UID, false)
				}
			},
		})
	})
	if err != nil {
		return fmt.Errorf("watching VirtualMachines: %w", err)
	}
	return nil
}

// ended forgets that disks are being given to the VM. What is held of pools for a
// home that may have been stored stays until the disk tells.
func (d *Disks) ended(vm types.UID, bound bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for disk, p := range d.promises {
		if p.vm != vm {
			continue
		}
		p.vm, p.name = "", ""
		if !bound && p.writes == 0 {
			d.give(p)
		}
		d.tidy(disk, p)
	}
}
