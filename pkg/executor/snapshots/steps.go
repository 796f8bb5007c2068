package snapshots

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/snapshotstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Reasons of events that are no reasons of conditions.
const (
	eventCreated  = "SnapshotCreated"
	eventDeleted  = "SnapshotDeleted"
	eventReverted = "DisksReverted"
)

// carryOut does what was decided.
func (k *Keeper) carryOut(ctx context.Context, key types.NamespacedName, in Situation, d Decision) error {
	m := k.memory(in.Snapshot.UID)
	if d.Report != nil {
		stored, err := snapshotstatus.Write(ctx, k.Live, in.Snapshot, func(s *v1alpha1.VirtualMachineSnapshotStatus) {
			d.Report.apply(s, in.Snapshot, in.Now)
		})
		if err != nil {
			return err
		}
		in.Snapshot = stored
	}
	for _, step := range d.Steps {
		klog.FromContext(ctx).V(2).Info("Carrying out a step", keySnapshot, in.Snapshot.Name, keyStep, step)
		err := k.do(ctx, step, key, &in, m, d)
		if err == nil {
			continue
		}
		if !k.failed(ctx, step, in, m, err) {
			return err
		}
		k.Enqueue(key)
		return nil
	}
	return nil
}

// failed remembers a step that was refused; false for what says nothing of the
// snapshot, and is only to be repeated.
func (k *Keeper) failed(ctx context.Context, step Step, in Situation, m *Memory, err error) bool {
	var own *libvirt.Error
	if !errors.As(err, &own) || errors.Is(err, libvirt.ErrUnavailable) || ctx.Err() != nil {
		return false
	}
	klog.FromContext(ctx).Info("A step failed", keySnapshot, in.Snapshot.Name, keyStep, step, keyError, err.Error())
	m.note(words(err), k.Clock.Now())
	if step != StepMake {
		return true
	}
	m.Cleaned = false
	reason := v1alpha1.ReasonSnapshotFailed
	switch {
	case errors.Is(err, errNotQuiesced):
		reason = v1alpha1.ReasonNotQuiesced
	case errors.Is(err, libvirt.ErrUnsupported):
		if in.Snapshot.WantsMemory() {
			reason = v1alpha1.ReasonUnsupportedMemory
		}
	case errors.Is(err, libvirt.ErrNoSpace):
		m.Message = fmt.Sprintf("storage pool %s of host %s became full: free some there, delete the snapshot and create it anew", poolsOf(in.Snapshot), k.Node)
	case errors.Is(err, errSlow):
	case m.Failures < maxTries:
		return true // the guest may have ended meanwhile, or something else have had the disk
	}
	m.Refused, m.Why = reason, m.Message
	return true
}

// poolsOf names the storage pools of the snapshot's disks; memory is in the first.
func poolsOf(s *v1alpha1.VirtualMachineSnapshot) string {
	var out []string
	for _, v := range volumes(s) {
		if !slices.Contains(out, v.Pool) {
			out = append(out, v.Pool)
		}
	}
	return strings.Join(out, " or ")
}

// words are what is said of an error: libvirt's own, without paths of the host.
func words(err error) string {
	text := err.Error()
	if at := strings.IndexByte(text, '\n'); at >= 0 {
		text = text[:at]
	}
	return folders.ReplaceAllString(text, "")
}

// folders are the folders in paths of the host.
var folders = regexp.MustCompile(`(/[^\s/'":]+)+/`)

// do carries out one step.
func (k *Keeper) do(ctx context.Context, step Step, key types.NamespacedName, in *Situation, m *Memory, d Decision) error {
	s := in.Snapshot
	var err error
	switch step {
	case StepHold:
		in.Snapshot, err = snapshotstatus.SetFinalizers(ctx, k.Live, s, append(slices.Clone(s.Finalizers), v1alpha1.SnapshotFinalizer))
		return err
	case StepBegin:
		first := s.Status.Phase != v1alpha1.SnapshotCreating
		if in.Snapshot, err = k.begin(ctx, key, in); err == nil {
			m.Untouched = m.Untouched || first
		}
		return err
	case StepClean:
		if err := k.clean(ctx, key, in); err != nil {
			return err
		}
		m.Cleaned = true
		return nil
	case StepMake:
		made, err := k.make(ctx, key, in)
		m.Untouched = m.Untouched && !made.Touched
		if err != nil {
			return err
		}
		m.Made = &made
		return nil
	case StepFinish:
		return k.finish(ctx, key, in, m)
	case StepFail:
		stored, err := snapshotstatus.Write(ctx, k.Live, s, func(status *v1alpha1.VirtualMachineSnapshotStatus) {
			Report{Phase: v1alpha1.SnapshotFailed, Reason: d.Refused, Message: d.Why}.apply(status, s, in.Now)
			status.Disks, status.MemoryVolume, status.MemoryBytes, status.ParentName = nil, nil, 0, ""
		})
		if err == nil {
			k.Recorder.Eventf(stored, nil, corev1.EventTypeWarning, d.Refused, "Create", "%s", shortened(d.Why))
			k.forget(s.UID)
		}
		return err
	case StepRevert:
		return k.revert(ctx, key, in)
	case StepRestored:
		return k.Finish(ctx, key, s)
	case StepUnlink:
		return k.unlink(ctx, key, s)
	case StepLetGo:
		left := slices.DeleteFunc(slices.Clone(s.Finalizers), func(f string) bool { return f == v1alpha1.SnapshotFinalizer })
		_, err := snapshotstatus.SetFinalizers(ctx, k.Live, s, left)
		if err == nil {
			k.forget(s.UID)
		}
		return err
	}
	return fmt.Errorf("carrying out step %q: there is no such step", step)
}

func shortened(text string) string { return text[:min(len(text), 1000)] }

// begin says that the snapshot is being made, and of which disks.
func (k *Keeper) begin(ctx context.Context, key types.NamespacedName, in *Situation) (*v1alpha1.VirtualMachineSnapshot, error) {
	parent := ""
	known, err := k.list(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, other := range known {
		if other.Status.Current && other.DeletionTimestamp == nil && other.UID != in.Snapshot.UID {
			parent = other.Name
		}
	}
	return snapshotstatus.Write(ctx, k.Live, in.Snapshot, func(status *v1alpha1.VirtualMachineSnapshotStatus) {
		Report{Phase: v1alpha1.SnapshotCreating, Reason: v1alpha1.ReasonSnapshotCreating, Message: "the host is at it"}.apply(status, in.Snapshot, in.Now)
		status.ParentName, status.Disks, status.MemoryVolume = parent, nil, nil
		for _, d := range written(in.Disks) {
			o := d.Object
			status.Disks = append(status.Disks, v1alpha1.SnapshotDisk{Name: o.Name, UID: o.UID, PoolName: o.Pool(), VolumeName: o.Status.VolumeName})
		}
		if in.Snapshot.WantsMemory() {
			status.MemoryVolume = &v1alpha1.SnapshotMemoryVolume{PoolName: status.Disks[0].PoolName, VolumeName: in.Snapshot.MemoryVolumeName()}
		}
	})
}

// clean removes all of the snapshot: what is whole, and what an earlier try left.
func (k *Keeper) clean(ctx context.Context, key types.NamespacedName, in *Situation) error {
	s := in.Snapshot
	if len(s.Status.Disks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	release, err := k.hold(ctx, key, s)
	if err != nil {
		return err
	}
	defer release()
	if in.VM != nil && s.Status.CreatedAt == nil && !in.Memory.Untouched {
		if err := k.letGoOn(ctx, in.VM, s); err != nil {
			return err
		}
	}
	var errs []error
	for _, v := range volumes(s) {
		errs = append(errs, k.remove(ctx, s.Tag(), v))
	}
	if m := s.Status.MemoryVolume; m != nil {
		errs = append(errs, k.removeMemory(ctx, m))
	}
	err = errors.Join(errs...)
	if err == nil && s.DeletionTimestamp != nil {
		k.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventDeleted, "Delete", "Removed from %d disks on %s", len(s.Status.Disks), k.Node)
	}
	return err
}

// letGoOn ends what a process that died amid the making of a snapshot has begun in
// the guest: its file systems rest, or it stands still while its memory is written.
func (k *Keeper) letGoOn(ctx context.Context, vm *v1alpha1.VirtualMachine, s *v1alpha1.VirtualMachineSnapshot) error {
	g, err := k.Guests.Guest(ctx, vm)
	if err != nil || !g.active() {
		return err
	}
	if s.WantsMemory() {
		// QEMU has given its disks up when the memory has been written, and dies when
		// a snapshot is deleted from one before the guest has gone on.
		if err := k.Host.AbortJob(ctx, g.Domain.UUID); err != nil || g.Domain.State != libvirt.StatePaused {
			return err
		}
		return k.Host.Resume(ctx, g.Domain.UUID)
	}
	if s.Spec.Quiesce == v1alpha1.QuiesceNever || g.Domain.Agent != libvirt.AgentOpen {
		return nil
	}
	if g.Domain.State == libvirt.StatePaused {
		return &libvirt.Error{Doing: "letting the guest's file systems go on", Message: "they may be at rest since a try that was cut short, and the guest is paused and hears nothing: set spec.powerState to Running"}
	}
	if err := k.Host.Thaw(ctx, g.Domain.UUID); err != nil && !errors.Is(err, libvirt.ErrAgentUnavailable) {
		return err
	}
	return nil
}

// remove removes the snapshot from a volume. One that is gone has none.
func (k *Keeper) remove(ctx context.Context, tag string, v libvirt.VolumeRef) error {
	names, err := k.Host.VolumeSnapshots(ctx, v.Pool, v.Name)
	switch {
	case errors.Is(err, libvirt.ErrNoVolume):
		return nil
	case err != nil:
		return err
	case !slices.Contains(names, tag):
		return nil
	}
	if uuid := k.Guests.User(v); uuid != "" {
		return k.Host.DeleteGuestSnapshot(ctx, uuid, tag, v)
	}
	return k.Host.DeleteVolumeSnapshots(ctx, tag, []libvirt.VolumeRef{v})
}

// removeMemory removes the file of a guest's memory, which libvirt's pool may not
// have heard of.
func (k *Keeper) removeMemory(ctx context.Context, m *v1alpha1.SnapshotMemoryVolume) error {
	if err := k.Host.RefreshPool(ctx, m.PoolName); err != nil {
		return err
	}
	return k.Host.DeleteVolume(ctx, m.PoolName, m.VolumeName)
}

// finish says that the snapshot is whole, and that the disks are based on it now.
func (k *Keeper) finish(ctx context.Context, key types.NamespacedName, in *Situation, m *Memory) error {
	s := in.Snapshot
	if err := k.unset(ctx, key, s); err != nil {
		return err
	}
	stored, err := snapshotstatus.Write(ctx, k.Live, s, func(status *v1alpha1.VirtualMachineSnapshotStatus) { m.Made.apply(status, s, in.Now) })
	if err != nil {
		return err
	}
	k.forget(s.UID)
	k.Recorder.Eventf(stored, nil, corev1.EventTypeNormal, eventCreated, "Create", "%d disks on %s: %s", len(s.Status.Disks), k.Node, shortened(m.Made.Message))
	return nil
}

// unset takes the mark of the current one from all others of the VM.
func (k *Keeper) unset(ctx context.Context, key types.NamespacedName, s *v1alpha1.VirtualMachineSnapshot) error {
	known, err := k.list(ctx, key)
	if err != nil {
		return err
	}
	for _, other := range known {
		if other.UID == s.UID || !other.Status.Current {
			continue
		}
		if err := k.change(ctx, other, func(status *v1alpha1.VirtualMachineSnapshotStatus) { status.Current = false }); err != nil {
			return err
		}
	}
	return nil
}

// list reads the snapshots of a VM from the API server itself: a cache may not have
// heard of what was just written.
func (k *Keeper) list(ctx context.Context, key types.NamespacedName) ([]*v1alpha1.VirtualMachineSnapshot, error) {
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if err := k.Live.List(ctx, list, client.InNamespace(key.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the snapshots of VirtualMachine %s: %w", key, err)
	}
	var out []*v1alpha1.VirtualMachineSnapshot
	for i := range list.Items {
		if list.Items[i].Spec.VirtualMachineName == key.Name {
			out = append(out, &list.Items[i])
		}
	}
	return out, nil
}

// change writes the status of another snapshot, as it is now.
func (k *Keeper) change(ctx context.Context, known *v1alpha1.VirtualMachineSnapshot, fn func(*v1alpha1.VirtualMachineSnapshotStatus)) error {
	live, err := k.read(ctx, types.NamespacedName{Namespace: known.Namespace, Name: known.Name})
	if err != nil || live == nil || live.UID != known.UID {
		return err
	}
	_, err = snapshotstatus.Write(ctx, k.Live, live, fn)
	return err
}

// unlink has what was based on a snapshot that goes be based on what that was based
// on.
func (k *Keeper) unlink(ctx context.Context, key types.NamespacedName, s *v1alpha1.VirtualMachineSnapshot) error {
	known, err := k.list(ctx, key)
	if err != nil {
		return err
	}
	for _, other := range known {
		if other.UID == s.UID {
			continue
		}
		err := k.change(ctx, other, func(status *v1alpha1.VirtualMachineSnapshotStatus) {
			if status.ParentName == s.Name {
				status.ParentName = s.Status.ParentName
			}
			if s.Status.Current && other.Name == s.Status.ParentName {
				status.Current = true
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hold has the VM's turns wait, and whoever would read the snapshot's disks.
func (k *Keeper) hold(ctx context.Context, key types.NamespacedName, s *v1alpha1.VirtualMachineSnapshot) (func(), error) {
	disks := make([]types.UID, 0, len(s.Status.Disks))
	for _, d := range s.Status.Disks {
		disks = append(disks, d.UID)
	}
	altered, ok := k.Guests.Alter(disks...)
	if !ok {
		return nil, &libvirt.Error{Doing: "changing the disks of VirtualMachineSnapshot " + s.Name, Message: "one of them is being copied, moved or exported"}
	}
	release, err := k.occupy(ctx, key)
	if err != nil {
		altered()
		return nil, err
	}
	return func() {
		altered()
		release()
	}, nil
}

// occupy has the VM's turns wait.
func (k *Keeper) occupy(ctx context.Context, key types.NamespacedName) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	release, err := k.Guests.Occupy(ctx, key)
	if err != nil {
		return nil, err
	}
	return func() {
		release()
		k.Changed(key)
	}, nil
}

// wholeSeconds is how times are written.
func wholeSeconds(t time.Time) time.Time { return t.Truncate(time.Second) }
