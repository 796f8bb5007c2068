package volumes

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Reasons of events that are no reasons of conditions.
const (
	eventCreated  = "VolumeCreated"
	eventGrown    = "VolumeGrown"
	eventDeleted  = "VolumeDeleted"
	eventRetained = "VolumeRetained"
)

// markCapacity is a mark's size in bytes; pools of extents give it one.
const markCapacity = 512

// carryOut does what was decided, and keeps in.Disk current.
func (k *Keeper) carryOut(ctx context.Context, w *work, in *Situation, decision Decision) error {
	if decision.Report != nil {
		before := in.Disk
		stored, err := diskstatus.Write(ctx, k.Live, in.Disk, func(s *v1alpha1.VirtualDiskStatus) {
			decision.Report.apply(s, in.Disk, in.Now)
		})
		if err != nil {
			return err
		}
		in.Disk = stored
		if stored.ResourceVersion != before.ResourceVersion {
			w.newest = stored
		}
		if Ready(before) != Ready(stored) {
			k.Changed(client.ObjectKeyFromObject(stored))
		}
	}
	for _, step := range decision.Steps {
		klog.FromContext(ctx).V(2).Info("Carrying out a step", keyStep, step)
		if err := k.do(ctx, step, w, in); err != nil {
			return k.failed(ctx, w, in, step, err)
		}
	}
	if len(decision.Steps) > 0 {
		if decision.Steps[0] != StepRemove {
			w.memory = Memory{} // what was to be done is done
		}
		k.Look()
	}
	return nil
}

// failed remembers a step that libvirt refused; what says nothing of the volume is
// returned, and the turn repeated.
func (k *Keeper) failed(ctx context.Context, w *work, in *Situation, step Step, err error) error {
	var own *libvirt.Error
	var moved moveError
	switch {
	case errors.Is(err, errUnwanted):
		return nil
	case errors.As(err, &moved):
		klog.FromContext(ctx).Info("A move could not go on and is repeated", keyError, err.Error())
		reason := v1alpha1.ReasonMoving
		if step == StepMake {
			reason = v1alpha1.ReasonVolumeFailed
		}
		w.memory.note(in.Disk, step, reason, shortened(err.Error())+"; it is tried again", k.Clock.Now())
		k.Enqueue(client.ObjectKeyFromObject(in.Disk)) // to report it
		return nil
	}
	if !errors.As(err, &own) || errors.Is(err, libvirt.ErrUnavailable) || errors.Is(err, libvirt.ErrTimeout) || errors.Is(err, libvirt.ErrPoolBusy) || step == StepLetGo || step == StepHold || step == StepLeave {
		return err
	}
	reason, message := v1alpha1.ReasonVolumeFailed, err.Error()+"; it is tried again"
	if errors.Is(err, libvirt.ErrNoSpace) {
		reason = v1alpha1.ReasonPoolFull
		// libvirt's own words name paths of the host: they are for its log.
		message = fmt.Sprintf("storage pool %s of host %s became full, and what was begun was undone: free some there; it is tried again", in.Disk.Pool(), k.Node)
	}
	klog.FromContext(ctx).Info("A step failed and is repeated", keyStep, step, keyError, err.Error())
	if w.memory.Reason != reason {
		k.Recorder.Eventf(in.Disk, nil, corev1.EventTypeWarning, reason, string(step), "%s: %s", k.Node, shortened(message))
	}
	if step == StepUnmark {
		step = StepRemove
	}
	w.memory.note(in.Disk, step, reason, message, k.Clock.Now())
	k.ledger.forget(in.Disk.UID)
	k.Enqueue(client.ObjectKeyFromObject(in.Disk)) // to report it
	k.Look()
	return nil
}

// shortened is as much as an event takes.
func shortened(s string) string { return s[:min(len(s), 1000)] }

// do carries out one step.
func (k *Keeper) do(ctx context.Context, step Step, w *work, in *Situation) error {
	d := in.Disk
	change, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	switch step {
	case StepHold:
		stored, err := diskstatus.SetFinalizers(ctx, k.Live, d, append(slices.Clone(d.Finalizers), v1alpha1.VolumeFinalizer))
		if err != nil {
			return err
		}
		in.Disk, w.newest = stored, stored
		return nil
	case StepMark:
		return k.markThere(change, d.Pool(), d)
	case StepCarry:
		return k.carry(ctx, w, in)
	case StepLeave:
		return k.leave(ctx, w, d)
	case StepMake:
		return k.make(ctx, in)
	case StepUnmark:
		return k.Storage.DeleteVolume(change, d.Pool(), d.VolumeName()+k.mark())
	case StepGrow:
		return k.grow(change, in)
	case StepRemove:
		if err := k.Storage.DeleteVolume(change, d.Pool(), d.VolumeName()); err != nil {
			return err
		}
		if d.DeletionTimestamp != nil {
			k.Recorder.Eventf(d, nil, corev1.EventTypeNormal, eventDeleted, "Delete", "Deleted volume %s from storage pool %s of %s", d.VolumeName(), d.Pool(), k.Node)
		}
		return nil
	case StepRetain:
		k.Recorder.Eventf(d, nil, corev1.EventTypeNormal, eventRetained, "Delete", "Volume %s is left in storage pool %s of %s", d.VolumeName(), d.Pool(), k.Node)
		return nil
	case StepLetGo:
		left := slices.DeleteFunc(slices.Clone(d.Finalizers), func(f string) bool { return f == v1alpha1.VolumeFinalizer })
		_, err := diskstatus.SetFinalizers(ctx, k.Live, d, left)
		if err == nil {
			k.ledger.forget(d.UID)
		}
		return err
	}
	return fmt.Errorf("carrying out step %q: there is no such step", step)
}

// markThere marks the disk's volume in a pool as being made.
func (k *Keeper) markThere(ctx context.Context, pool string, d *v1alpha1.VirtualDisk) error {
	err := k.Storage.CreateVolume(ctx, pool, libvirt.NewVolume{Name: d.VolumeName() + k.mark(), Format: libvirt.FormatRaw, Capacity: markCapacity})
	if errors.Is(err, libvirt.ErrVolumeExists) {
		return nil
	}
	return err
}

// admit promises the disk so much of its pool, or says that it is full.
func (k *Keeper) admit(ctx context.Context, d *v1alpha1.VirtualDisk, bytes int64) error {
	_, allocatable, ok := k.pools.get(d.Pool())
	all, _ := k.Disks.Disks(ctx)
	if !ok || !k.ledger.grant(d, all, allocatable, bytes) {
		return fmt.Errorf("promising space to VirtualDisk %s/%s: others were promised it just now", d.Namespace, d.Name)
	}
	return nil
}

// make makes the volume, which is not there.
func (k *Keeper) make(ctx context.Context, in *Situation) error {
	d := in.Disk
	v := libvirt.NewVolume{Name: d.VolumeName(), Format: string(formatIn(d, in.Pool.Type)), Capacity: d.Claim()}
	if in.Source != nil {
		v.Capacity = max(v.Capacity, in.Source.Volume.Capacity)
	}
	if in.Image != nil {
		v.Capacity = max(v.Capacity, in.Image.Volume.Capacity)
	}
	if err := k.admit(ctx, d, v.Capacity); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	from := "nothing"
	var err error
	filled := int64(0)
	switch {
	case in.Image != nil:
		from, filled = "VirtualDiskImage "+d.ImageOf(), in.Image.Volume.Capacity
		err = k.beginWith(ctx, d, v, in.Image)
	case in.Source != nil:
		from, filled = "VirtualDisk "+in.Source.Disk.Name, in.Source.Volume.Capacity
		err = k.copy(ctx, d, v, in.Source)
	default:
		err = k.Storage.CreateVolume(ctx, d.Pool(), v)
	}
	if err != nil {
		return err
	}
	if err := k.clear(ctx, d.Pool(), in.Pool.Type, v.Name, filled); err != nil {
		return err
	}
	k.Recorder.Eventf(d, nil, corev1.EventTypeNormal, eventCreated, "Create", "Created volume %s in storage pool %s of %s from %s", v.Name, d.Pool(), k.Node, from)
	return nil
}

// copy copies the source while no guest of this host can be started on it.
func (k *Keeper) copy(ctx context.Context, d *v1alpha1.VirtualDisk, v libvirt.NewVolume, s *Source) error {
	k.copying(s.Disk, 1)
	defer func() {
		k.copying(s.Disk, -1)
		k.Changed(client.ObjectKeyFromObject(s.Disk))
	}()
	if why := k.beingAltered(s.Disk); why != "" {
		return moveError{errors.New(why)}
	}
	if s.Disk.Spec.AccessMode != v1alpha1.DiskSharedReadOnly {
		// One may have been started before that.
		for _, u := range k.Guests.Users(ctx, s.Disk) {
			if u.Running || u.Saved {
				return fmt.Errorf("copying VirtualDisk %s: %s has begun to use it", s.Disk.Name, u.VM)
			}
		}
	}
	pool, _, _ := k.pools.get(d.Pool())
	return k.duplicate(ctx, d.Pool(), filePools[pool.Type], v, s.Disk.Pool(), s.Volume, nil)
}

// grow gives the volume the disk's size, under the guest that has it if one does.
func (k *Keeper) grow(ctx context.Context, in *Situation) error {
	d, size := in.Disk, in.Disk.Spec.Size.Value()
	release, ok := k.Alter(d.UID)
	if !ok {
		return fmt.Errorf("growing VirtualDisk %s/%s: it is being copied", d.Namespace, d.Name)
	}
	defer release()
	if err := k.admit(ctx, d, size); err != nil {
		return err
	}
	how := "while no guest has it"
	if at := slices.IndexFunc(in.Users, func(u User) bool { return u.Running }); at >= 0 {
		how = "under the guest of " + in.Users[at].VM
		if err := k.Storage.GrowDisk(ctx, in.Users[at].DomainUUID, d.Pool(), d.VolumeName(), size); err != nil {
			return err
		}
		// libvirt's own idea of the volume is as old as its last look.
		if err := k.Storage.RefreshPool(ctx, d.Pool()); err != nil && !errors.Is(err, libvirt.ErrPoolBusy) {
			return err
		}
	} else if err := k.Storage.ResizeVolume(ctx, d.Pool(), d.VolumeName(), size); err != nil {
		return err
	}
	k.Recorder.Eventf(d, nil, corev1.EventTypeNormal, eventGrown, "Grow", "Grew volume %s to %d bytes on %s, %s", d.VolumeName(), size, k.Node, how)
	return nil
}
