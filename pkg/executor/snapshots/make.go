package snapshots

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/snapshotstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// progressEvery is how often it is written how much memory has been saved.
	progressEvery = 5 * time.Second
	// goOnTimeout is how long letting a guest go on may take, whatever has become of
	// what it was halted for.
	goOnTimeout = time.Minute
)

var (
	// errNotQuiesced: spec.quiesce is Require, and the agent could not do it.
	errNotQuiesced = errors.New("the guest's file systems could not be brought to rest")
	// errSlow: writing the memory has taken longer than it may.
	errSlow = errors.New("writing the guest's memory took too long")
)

// make makes the snapshot, of which nothing is there, while the VM's turns wait.
//
// Disks of a guest that runs are taken at one moment, without halting it. With
// memory the guest is halted: first its disks are taken and then its memory, since
// QEMU gives up its disks when the memory has been written.
func (k *Keeper) make(ctx context.Context, key types.NamespacedName, in *Situation) (Made, error) {
	s, vm := in.Snapshot, in.VM
	release, err := k.hold(ctx, key, s)
	if err != nil {
		return Made{}, err
	}
	defer release()
	g, err := k.Guests.Guest(ctx, vm)
	if err != nil {
		return Made{}, err
	}
	now := *in
	now.Guest = g
	if reason, why := refusal(now); reason != "" {
		return Made{}, &libvirt.Error{Doing: "taking the snapshot", Message: why} // and Plan finds it
	}
	if why, _ := waits(now); why != "" {
		return Made{}, errors.New("taking the snapshot: " + why)
	}
	if !g.active() {
		ctx, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		out := Made{At: k.Clock.Now(), Quiesced: true, Reason: v1alpha1.ReasonQuiescedNoGuest, Message: "no guest was running"}
		if g.saved() {
			out.Quiesced, out.Reason = false, v1alpha1.ReasonQuiesceSuspended
			out.Message = "the guest's memory was saved, and what it had not written was there: its disks alone are as after a loss of power"
		}
		return out, k.Host.SnapshotVolumes(ctx, s.Tag(), volumes(s))
	}
	if err := k.takeOthers(ctx, s, g); err != nil {
		return Made{}, err
	}
	if s.WantsMemory() {
		return k.makeWithMemory(ctx, s, vm, g)
	}
	return k.makeOfDisks(ctx, s, g)
}

// takeOthers takes the disks that the guest has not got, though its VM names them:
// such as wait for its restart, or are plugged in next. Nobody writes them.
func (k *Keeper) takeOthers(ctx context.Context, s *v1alpha1.VirtualMachineSnapshot, g Guest) error {
	var others []libvirt.VolumeRef
	for _, v := range volumes(s) {
		if g.has(v) {
			continue
		}
		if uuid := k.Guests.User(v); uuid != "" {
			return &libvirt.Error{Doing: "taking the snapshot", Message: "domain " + uuid + " has volume " + v.Name}
		}
		others = append(others, v)
	}
	if len(others) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return k.Host.SnapshotVolumes(ctx, s.Tag(), others)
}

// takeGuests takes the disks that the guest has, at one moment.
func (k *Keeper) takeGuests(ctx context.Context, s *v1alpha1.VirtualMachineSnapshot, g Guest) error {
	has := slices.DeleteFunc(volumes(s), func(v libvirt.VolumeRef) bool { return !g.has(v) })
	if len(has) == 0 {
		return nil
	}
	return k.Host.SnapshotGuest(ctx, g.Domain.UUID, s.Tag(), has)
}

// makeOfDisks takes the disks of a guest.
func (k *Keeper) makeOfDisks(ctx context.Context, s *v1alpha1.VirtualMachineSnapshot, g Guest) (Made, error) {
	out := Made{}
	thaw := k.quiesce(ctx, s, g, &out)
	defer thaw()
	if !out.Quiesced && s.Spec.Quiesce == v1alpha1.QuiesceRequire {
		return out, libvirt.Error{Doing: errNotQuiesced.Error(), Message: out.Message + ": see to its agent, or create the snapshot with spec.quiesce IfPossible"}.As(errNotQuiesced)
	}
	out.At = k.Clock.Now()
	return out, k.takeGuests(ctx, s, g)
}

// quiesce brings the guest's file systems to rest where that is wanted and can be,
// says in out how that went, and returns what lets them go on.
func (k *Keeper) quiesce(ctx context.Context, s *v1alpha1.VirtualMachineSnapshot, g Guest, out *Made) (thaw func()) {
	uuid := g.Domain.UUID
	no := func(reason, format string, args ...any) func() {
		out.Reason, out.Message = reason, fmt.Sprintf(format, args...)
		return func() {}
	}
	switch {
	case s.Spec.Quiesce == v1alpha1.QuiesceNever:
		return no(v1alpha1.ReasonQuiesceNever, "spec.quiesce is Never: the disks are as after a loss of power")
	case g.Domain.State == libvirt.StatePaused:
		return no(v1alpha1.ReasonQuiesceFailed, "the guest is paused, and its agent hears nothing: the disks are as after a loss of power")
	}
	goOn := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goOnTimeout)
		defer cancel()
		if err := k.Host.Thaw(ctx, uuid); err != nil {
			klog.FromContext(ctx).Error(err, "The guest's file systems may be at rest still", keySnapshot, s.Name)
		}
	}
	out.Touched = true
	if err := k.Host.Freeze(ctx, uuid); err != nil {
		why := words(err)
		var own *libvirt.Error
		if errors.As(err, &own) {
			why = words(errors.New(own.Message)) // of whose agent is plain
		}
		if !errors.Is(err, libvirt.ErrAgentUnavailable) || errors.Is(err, libvirt.ErrAgentUnanswered) {
			goOn() // some may be at rest
		}
		return no(v1alpha1.ReasonQuiesceFailed, "the guest agent did not bring the file systems to rest (%s): the disks are as after a loss of power", why)
	}
	out.Quiesced, out.Reason, out.Message = true, v1alpha1.ReasonQuiescedByAgent, "the guest agent brought the file systems to rest"
	return goOn
}

// makeWithMemory takes the disks and the memory of a guest, which stands still
// meanwhile.
func (k *Keeper) makeWithMemory(ctx context.Context, s *v1alpha1.VirtualMachineSnapshot, vm *v1alpha1.VirtualMachine, g Guest) (out Made, err error) {
	uuid := g.Domain.UUID
	out.Touched = true
	if g.Domain.State == libvirt.StateRunning {
		defer func() { err = errors.Join(err, k.goOn(ctx, uuid, err != nil)) }()
		if err := k.Host.Suspend(ctx, uuid); err != nil {
			return out, err
		}
	}
	out = Made{At: k.Clock.Now(), Touched: true, Reason: v1alpha1.ReasonQuiesceMemory, Message: "the guest goes on from its memory; its disks alone are as after a loss of power"}
	if err := k.takeGuests(ctx, s, g); err != nil {
		return out, err
	}
	deadline := k.Guests.Deadline(vm)
	writing, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	stop := k.follow(writing, s, uuid)
	err = k.Host.WriteMemory(writing, uuid, s.Status.MemoryVolume.PoolName, s.Status.MemoryVolume.VolumeName)
	out.MemoryBytes = stop()
	if err != nil && errors.Is(writing.Err(), context.DeadlineExceeded) {
		err = libvirt.Error{Doing: errSlow.Error(), Message: fmt.Sprintf("it took longer than %s and was given up: the host's disk is slow or hangs; create the snapshot anew, or with spec.memory None", deadline)}.As(errSlow)
	}
	if err != nil {
		return out, err
	}
	if bytes := k.fileSize(ctx, s.Status.MemoryVolume); bytes > 0 {
		out.MemoryBytes = bytes
	}
	return out, nil
}

// goOn has a guest go on that was halted for its memory, which is not to be waited
// for any more when that failed.
func (k *Keeper) goOn(ctx context.Context, uuid string, failed bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goOnTimeout)
	defer cancel()
	if failed {
		if err := k.Host.AbortJob(ctx, uuid); err != nil {
			klog.FromContext(ctx).Error(err, "The writing of the guest's memory could not be ended")
		}
	}
	// The VM's turn does it too, when it finds the guest so.
	if err := k.Host.Resume(ctx, uuid); err != nil {
		klog.FromContext(ctx).Error(err, "A guest could not go on after its snapshot, and is looked after in its VM's turn")
	}
	return nil
}

// fileSize is the size of a file that has just been written, as its pool has it.
func (k *Keeper) fileSize(ctx context.Context, m *v1alpha1.SnapshotMemoryVolume) int64 {
	if err := k.Host.RefreshPool(ctx, m.PoolName); err != nil {
		return 0
	}
	v, err := k.Host.Volume(ctx, m.PoolName, m.VolumeName)
	if err != nil {
		return 0
	}
	return v.Capacity
}

// follow writes how much of the memory has been written, now and then, until what it
// returns is called, which says how much that was.
func (k *Keeper) follow(ctx context.Context, s *v1alpha1.VirtualMachineSnapshot, uuid string) (stop func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan int64, 1)
	go func() {
		var seen int64
		defer func() { done <- seen }()
		for {
			select {
			case <-ctx.Done():
				return
			case <-k.Clock.After(k.progressEvery):
			}
			bytes, err := k.Host.MemoryWritten(ctx, uuid)
			if err != nil || bytes == 0 {
				continue
			}
			seen = bytes
			live, err := k.read(ctx, types.NamespacedName{Namespace: s.Namespace, Name: s.Name})
			if err != nil || live == nil || live.UID != s.UID {
				continue
			}
			// What others say of it stands; the next turn reads it anew.
			if _, err := snapshotstatus.Write(ctx, k.Live, live, func(status *v1alpha1.VirtualMachineSnapshotStatus) { status.MemoryBytes = bytes }); err != nil {
				klog.FromContext(ctx).V(2).Info("Progress was not written", keyError, err.Error())
			}
		}
	}()
	return func() int64 {
		cancel()
		return <-done
	}
}
