package volumes

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// situation looks at the disk's pool and volume, and at who has it.
func (k *Keeper) situation(ctx context.Context, w *work, disk *v1alpha1.VirtualDisk) (Situation, error) {
	in := Situation{Node: k.Node, Disk: disk, Now: k.Clock.Now()}
	if disk != nil {
		in.Memory = w.memory.of(disk)
	}
	if disk == nil || disk.Status.NodeName != k.Node {
		return in, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	in.Copied = k.beingCopied(disk)
	in.Users = k.Guests.Users(ctx, disk)
	if (disk.DeletionTimestamp != nil || disk.Status.MoveTo != nil) && len(in.Users) == 0 {
		var err error
		if in.Users, err = k.boundAnywhere(ctx, disk); err != nil {
			return in, err
		}
	}
	pool, allocatable, ok := k.pools.get(disk.Pool())
	if !ok {
		return in, nil
	}
	in.Pool = &pool
	var err error
	if in.Volume, err = k.volume(ctx, disk.Pool(), disk.VolumeName()); err != nil {
		if errors.Is(err, libvirt.ErrNoPool) {
			in.Pool = nil
			k.Look()
			return in, nil
		}
		return in, err
	}
	if in.Volume != nil {
		*in.Volume, in.Misread = asOwn(disk, pool.Type, *in.Volume)
	}
	// A mark is nobody's but this host's: there is no need to look for others'.
	mark, err := k.volumeNow(ctx, disk.Pool(), disk.VolumeName()+k.mark())
	if err != nil {
		return in, err
	}
	in.Marked = mark != nil
	all, _ := k.Disks.Disks(ctx)
	k.ledger.settle(all, func(id types.UID) bool { return k.arrivals.get(id) != nil || k.exports.has(id) })
	in.Room = k.ledger.room(disk, all, allocatable)
	if in.Volume != nil && !in.Marked {
		return in, nil
	}
	if disk.CopyOf() != "" {
		in.Source, err = k.source(ctx, disk)
	}
	if disk.ImageOf() != "" && disk.DeletionTimestamp == nil {
		var image Image
		image, err = k.Images.Look(ctx, disk)
		in.Image = &image
	}
	return in, err
}

// volume looks a volume up; nil when there is none. Others may have made it: then
// libvirt has to look first.
func (k *Keeper) volume(ctx context.Context, pool, name string) (*libvirt.Volume, error) {
	v, err := k.volumeNow(ctx, pool, name)
	if v != nil || err != nil {
		return v, err
	}
	if err := k.Storage.RefreshPool(ctx, pool); err != nil && !errors.Is(err, libvirt.ErrPoolBusy) {
		return nil, err
	}
	return k.volumeNow(ctx, pool, name)
}

func (k *Keeper) volumeNow(ctx context.Context, pool, name string) (*libvirt.Volume, error) {
	v, err := k.Storage.Volume(ctx, pool, name)
	if errors.Is(err, libvirt.ErrNoVolume) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// boundAnywhere lists the VMs of any host that name the disk: those here may not
// have been heard of, and others may share its store.
func (k *Keeper) boundAnywhere(ctx context.Context, disk *v1alpha1.VirtualDisk) ([]User, error) {
	list := &v1alpha1.VirtualMachineList{}
	if err := k.Live.List(ctx, list, client.InNamespace(disk.Namespace)); err != nil {
		return nil, fmt.Errorf("reading who uses VirtualDisk %s/%s: %w", disk.Namespace, disk.Name, err)
	}
	var out []User
	for i := range list.Items {
		if vm := &list.Items[i]; vm.Status.Placement != nil && vm.NamesDisk(disk.Name) {
			out = append(out, User{VM: "VirtualMachine " + vm.Name, DomainUUID: vm.DomainUUID()})
		}
	}
	return out, nil
}

// source looks at what the disk is to be a copy of; nil when that is not there.
func (k *Keeper) source(ctx context.Context, disk *v1alpha1.VirtualDisk) (*Source, error) {
	from, err := k.read(ctx, types.NamespacedName{Namespace: disk.Namespace, Name: disk.CopyOf()})
	if err != nil || from == nil || from.DeletionTimestamp != nil || !Ready(from) {
		return nil, err
	}
	s := &Source{Disk: from}
	if from.Status.NodeName != k.Node && from.Status.Store == "" {
		s.Volume = &libvirt.Volume{Capacity: from.Status.Capacity}
		return s, nil
	}
	if s.Volume, err = k.volume(ctx, from.Pool(), from.VolumeName()); err != nil {
		return nil, err
	}
	if pool, _, ok := k.pools.get(from.Pool()); ok && s.Volume != nil {
		// libvirt copies it as what it takes it for, after its last look.
		if err := k.Storage.RefreshPool(ctx, from.Pool()); err != nil && !errors.Is(err, libvirt.ErrPoolBusy) {
			return nil, err
		}
		if s.Volume, err = k.volumeNow(ctx, from.Pool(), from.VolumeName()); err != nil {
			return nil, err
		}
		if s.Volume != nil {
			*s.Volume, s.Misread = asOwn(from, pool.Type, *s.Volume)
		}
	}
	if from.Spec.AccessMode == v1alpha1.DiskSharedReadOnly {
		return s, nil
	}
	for _, u := range k.Guests.Users(ctx, from) {
		if u.Running || u.Saved {
			s.Writer = &u
			break
		}
	}
	return s, nil
}
