package volumes

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Idle lists the disks at home here that are the VM's and that it does not name any
// more, unless its guest has them.
func (k *Keeper) Idle(ctx context.Context, vm *v1alpha1.VirtualMachine, has []libvirt.VolumeRef) []*v1alpha1.VirtualDisk {
	all, _ := k.Disks.Disks(ctx) // those that the watch has not read yet come later
	held := make(map[libvirt.VolumeRef]bool, len(has))
	for _, v := range has {
		held[v] = true
	}
	var out []*v1alpha1.VirtualDisk
	for _, d := range all {
		c := d.Status.ClaimedBy
		if c == nil || c.UID != vm.UID || d.Namespace != vm.Namespace || vm.NamesDisk(d.Name) || k.isBack(d) {
			continue
		}
		if !held[libvirt.VolumeRef{Pool: d.Pool(), Name: d.VolumeName()}] {
			out = append(out, d)
		}
	}
	return out
}

// GiveBack takes the VM's claim from a disk that Idle has found, so that others can
// have it; it stays where it is. The VM must have been read from the API server.
// Errors: those of diskstatus.Write.
func (k *Keeper) GiveBack(ctx context.Context, d *v1alpha1.VirtualDisk) error {
	// Whatever becomes of the write, what the watch has of the disk is not to be
	// gone by until it has heard more.
	k.noteGivenBack(d, false)
	if _, err := diskstatus.Write(ctx, k.Live, d, func(s *v1alpha1.VirtualDiskStatus) { s.ClaimedBy = nil }); err != nil {
		return err
	}
	k.noteGivenBack(d, true)
	return nil
}

// Confirm says whether the VM can have the disk, by the API server's word and not
// by a watch's; empty when it can.
func (k *Keeper) Confirm(ctx context.Context, vm *v1alpha1.VirtualMachine, disk string) (string, error) {
	d, err := k.read(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: disk})
	switch {
	case err != nil:
		return "", err
	case d == nil || d.DeletionTimestamp != nil:
		return fmt.Sprintf("VirtualDisk %s is gone", disk), nil
	case !usable(d, vm) || !k.canBeHere(d):
		return fmt.Sprintf("VirtualDisk %s is not this VM's any more", disk), nil
	case !Ready(d):
		return fmt.Sprintf("VirtualDisk %s is not ready: %s", disk, why(d)), nil
	case k.beingCopied(d) && d.Spec.AccessMode != v1alpha1.DiskSharedReadOnly:
		return fmt.Sprintf("VirtualDisk %s is being copied", disk), nil
	}
	return "", nil
}

// returned is a claim that was given back, at a version of its disk; done says that
// it is known to have been stored.
type returned struct {
	version string
	done    bool
}

func (k *Keeper) noteGivenBack(d *v1alpha1.VirtualDisk, done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.back == nil {
		k.back = map[types.UID]returned{}
	}
	k.back[d.UID] = returned{version: d.ResourceVersion, done: done}
}

// givenBack says whether the claim to the disk may have been given back at this
// version of it, or a later one: what it says of that is not to be gone by.
func (k *Keeper) givenBack(d *v1alpha1.VirtualDisk) bool {
	_, was := k.returned(d)
	return was
}

// isBack says whether the claim has been given back since this version of the disk.
func (k *Keeper) isBack(d *v1alpha1.VirtualDisk) bool {
	r, was := k.returned(d)
	return was && r.done
}

func (k *Keeper) returned(d *v1alpha1.VirtualDisk) (returned, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, was := k.back[d.UID]
	if !was {
		return returned{}, false
	}
	if order, err := resourceversion.CompareResourceVersion(d.ResourceVersion, r.version); err == nil && order <= 0 {
		return r, true
	}
	delete(k.back, d.UID)
	return returned{}, false
}
