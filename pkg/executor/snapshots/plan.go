package snapshots

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// lookAgain is when something is looked at again that another's doing mends.
	lookAgain = time.Minute
	// settle is when to look again at a guest that is between two states.
	settle = 2 * time.Second
	// A step that failed is taken again after firstBackoff, doubling up to
	// lastBackoff; one that makes a snapshot maxTries times.
	firstBackoff = time.Second
	lastBackoff  = time.Minute
	maxTries     = 5
)

// Plan decides what to do next. It is pure. Its rules, the first that applies:
//
//   - A snapshot that is not on this host is not ours to act on.
//   - A restore that has begun is brought to its end, whatever else is wished.
//   - A snapshot that is deleted goes from the disks, and the object after it.
//   - One that is whole, or has failed, stays as it is.
//   - What cannot be is refused at once; what is not yet there is waited for.
//   - It is made from the beginning, unless this process has made it already.
func Plan(in Situation) Decision {
	s := in.Snapshot
	switch {
	case s.Status.NodeName != in.Node:
		return Decision{}
	case s.Status.Restoring != nil:
		return restore(in)
	case s.DeletionTimestamp != nil:
		return end(in)
	case s.Status.Phase == v1alpha1.SnapshotFailed && !settled(s):
		return Decision{Steps: []Step{StepLetGo}}
	case s.Status.Phase == v1alpha1.SnapshotFailed, s.Status.Phase == v1alpha1.SnapshotReady:
		return Decision{}
	case s.Status.Phase == v1alpha1.SnapshotRestoring:
		return Decision{Report: &Report{Phase: v1alpha1.SnapshotReady, Reason: v1alpha1.ReasonSnapshotReady, Message: whole}}
	}
	return produce(in)
}

// whole is what is said of a snapshot that is.
const whole = "the VM can be restored to it"

// produce makes the snapshot.
func produce(in Situation) Decision {
	s, m := in.Snapshot, in.Memory
	begun := hasFinalizer(s)
	if m.Made != nil {
		return Decision{Steps: []Step{StepFinish}, Again: true}
	}
	reason, why := m.Refused, m.Why
	if reason == "" {
		reason, why = refusal(in)
	}
	if reason != "" {
		steps := []Step{StepFail}
		if begun {
			steps = []Step{StepClean, StepFail}
		}
		return Decision{Steps: steps, Again: true, Refused: reason, Why: why}
	}
	if wait, left := m.left(in.Now); left {
		return Decision{RequeueAfter: wait, Report: &Report{Phase: phaseOf(s), Reason: v1alpha1.ReasonSnapshotCreating, Message: m.Message + "; it is tried again"}}
	}
	if why, after := waits(in); why != "" {
		return Decision{RequeueAfter: after, Report: &Report{Phase: phaseOf(s), Reason: v1alpha1.ReasonSnapshotWaits, Message: why}}
	}
	switch {
	case !begun:
		return Decision{Steps: []Step{StepHold}, Again: true}
	case s.Status.Phase != v1alpha1.SnapshotCreating:
		return Decision{Steps: []Step{StepBegin}, Again: true}
	case !m.Cleaned:
		return Decision{Steps: []Step{StepClean}, Again: true}
	case !sameDisks(in):
		// spec.disks was edited meanwhile, and nothing of it is made.
		return Decision{Steps: []Step{StepBegin}, Again: true}
	}
	return Decision{Steps: []Step{StepMake}, Again: true}
}

func phaseOf(s *v1alpha1.VirtualMachineSnapshot) v1alpha1.SnapshotPhase {
	if s.Status.Phase == v1alpha1.SnapshotCreating {
		return v1alpha1.SnapshotCreating
	}
	return v1alpha1.SnapshotPending
}

// written are the disks that the VM's guest writes, as far as its spec goes.
func written(disks []Disk) (out []Disk) {
	for _, d := range disks {
		if d.Spec.MayWrite() && (d.Object == nil || d.Object.Spec.AccessMode != v1alpha1.DiskSharedReadOnly) {
			out = append(out, d)
		}
	}
	return out
}

// refusal says why the snapshot cannot be, whatever is waited for; "" when it may.
func refusal(in Situation) (reason, why string) {
	s, vm := in.Snapshot, in.VM
	switch {
	case vm == nil || vm.UID != s.Status.VirtualMachineUID:
		return v1alpha1.ReasonVMNotFound, fmt.Sprintf("VirtualMachine %s was deleted before the snapshot was made", s.Spec.VirtualMachineName)
	case vm.DeletionTimestamp != nil:
		return v1alpha1.ReasonVMDeleting, fmt.Sprintf("VirtualMachine %s is being deleted", vm.Name)
	case s.Spec.Memory == v1alpha1.SnapshotMemoryExternal:
		return v1alpha1.ReasonUnsupportedMemory, "spec.memory External is not made: create it with spec.memory Internal, whose memory is in a file of its own too"
	case s.Spec.Snapshot != nil:
		return v1alpha1.ReasonUnsupportedDisk, "spec.snapshot is for snapshots that were read from a libvirt: create it without"
	}
	disks := written(in.Disks)
	if len(disks) == 0 {
		return v1alpha1.ReasonNoDisks, fmt.Sprintf("VirtualMachine %s has no VirtualDisk that its guest writes: give it one in spec.disks", vm.Name)
	}
	for _, d := range disks {
		if d.Object == nil {
			continue
		}
		switch {
		case d.Object.Spec.AccessMode == v1alpha1.DiskSharedReadWrite:
			return v1alpha1.ReasonUnsupportedDisk, fmt.Sprintf("VirtualDisk %s is written by several VMs, and cannot be held in a snapshot of one: leave it out of spec.disks", d.Object.Name)
		case formatOf(d.Object) == v1alpha1.DiskRaw:
			return v1alpha1.ReasonUnsupportedDisk, fmt.Sprintf(
				"VirtualDisk %s is raw, and snapshots are kept inside qcow2: use a copy of it in its place (a VirtualDisk with spec.source.disk.name %s and spec.format qcow2, in a pool of files), or set readOnly for it in spec.disks",
				d.Object.Name, d.Object.Name)
		}
	}
	if s.WantsMemory() {
		if why := withoutMemory(in); why != "" {
			return v1alpha1.ReasonUnsupportedMemory, why
		}
		return "", ""
	}
	if s.Spec.Quiesce != v1alpha1.QuiesceRequire {
		return "", ""
	}
	switch {
	case in.Guest.saved():
		return v1alpha1.ReasonNotQuiesced, "the guest's memory is saved, and what it had not written is there: set spec.powerState to Running and create the snapshot anew, or create it with spec.quiesce IfPossible"
	case in.Guest.active() && in.Guest.Domain.State == libvirt.StatePaused && !passing(in.Guest.Domain.Reason):
		return v1alpha1.ReasonNotQuiesced, "the guest is paused, and its agent hears nothing: set spec.powerState to Running and create the snapshot anew, or create it with spec.quiesce IfPossible"
	}
	return "", ""
}

// withoutMemory says why the guest's memory cannot be taken; "" when it can.
func withoutMemory(in Situation) string {
	switch g := in.Guest; {
	case g.saved():
		return "the guest's memory is saved already, and the guest does not run: set spec.powerState to Running first, or create the snapshot with spec.memory None"
	case !g.active():
		return "the guest does not run, and has no memory: start it first, or create the snapshot with spec.memory None"
	case g.Domain.State == libvirt.StateCrashed:
		return "the guest has crashed: create the snapshot with spec.memory None"
	case in.VM.Spec.PowerState == v1alpha1.PowerPaused, g.Domain.State == libvirt.StatePaused && !passing(g.Domain.Reason) && in.Memory.Cleaned:
		// One that stands still for a try that was cut short goes on when that is cleaned.
		return "the guest is paused, and QEMU has its disks again only when it has gone on: set spec.powerState to Running first, or create the snapshot with spec.memory None"
	case g.Writes:
		return "spec.domain gives the guest disks that it writes and that are no VirtualDisks, so that its memory would not fit them afterwards: make them VirtualDisks or read-only, or create the snapshot with spec.memory None"
	}
	return ""
}

// formatOf is the disk's; qcow2 while that is not known.
func formatOf(d *v1alpha1.VirtualDisk) v1alpha1.DiskFormat {
	if d.Status.Format != "" {
		return d.Status.Format
	}
	return d.Spec.Format
}

// passing says whether a guest that is paused for the reason is about to be in
// another state, without anybody's doing.
func passing(reason string) bool {
	switch reason {
	case libvirt.ReasonSaving, libvirt.ReasonDumping, libvirt.ReasonBetween, libvirt.ReasonStarting:
		return true
	}
	return false
}

// waits says what has to be waited for; "" when nothing has.
func waits(in Situation) (why string, after time.Duration) {
	if in.Restoring {
		return "the VM is being restored", settle
	}
	for _, d := range written(in.Disks) {
		o := d.Object
		switch {
		case o == nil:
			return fmt.Sprintf("there is no VirtualDisk %s", d.Spec.DiskName), lookAgain
		case o.DeletionTimestamp != nil:
			return fmt.Sprintf("VirtualDisk %s is being deleted: leave it out of spec.disks", o.Name), lookAgain
		case o.Status.VolumeName == "" || !meta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ConditionDiskReady):
			return fmt.Sprintf("VirtualDisk %s is not ready", o.Name), settle
		case o.Status.NodeName != in.Node:
			return fmt.Sprintf("VirtualDisk %s is on host %s, and not on %s", o.Name, o.Status.NodeName, in.Node), lookAgain
		case o.Status.MoveTo != nil:
			return fmt.Sprintf("VirtualDisk %s is being moved to storage pool %s of host %s", o.Name, o.Status.MoveTo.PoolName, o.Status.MoveTo.NodeName), lookAgain
		case d.Copied:
			return fmt.Sprintf("VirtualDisk %s is being copied or exported", o.Name), settle
		case o.Status.ClaimedBy != nil && o.Status.ClaimedBy.UID != in.VM.UID:
			return fmt.Sprintf("VirtualMachine %s has VirtualDisk %s now", o.Status.ClaimedBy.Name, o.Name), lookAgain
		}
	}
	if g := in.Guest; g.active() {
		d := g.Domain
		switch {
		case d.State == libvirt.StateShuttingDown, d.State == libvirt.StateUnknown, d.State == libvirt.StatePaused && passing(d.Reason):
			return "the guest is between two states", settle
		}
	}
	if in.Snapshot.WantsMemory() {
		return givesUp(in), settle
	}
	return "", 0
}

// givesUp says which VirtualDisk, that the guest writes, is not in spec.disks any
// more; "" when none is. It would not be in the snapshot, and not fit the memory.
func givesUp(in Situation) string {
	if !in.Guest.active() {
		return ""
	}
	for _, v := range in.Guest.Domain.Written {
		named := slices.ContainsFunc(written(in.Disks), func(d Disk) bool {
			return d.Object != nil && v == libvirt.VolumeRef{Pool: d.Object.Pool(), Name: d.Object.Status.VolumeName}
		})
		if !named && strings.Contains(v.Name, v1alpha1.VolumeMark) {
			return fmt.Sprintf("the guest has volume %s still, which it is to give up: its memory would count on what is not in the snapshot; name its VirtualDisk in spec.disks again, or restart the VirtualMachine", v.Name)
		}
	}
	return ""
}

// sameDisks says whether the snapshot is of the disks that the VM's guest writes now.
func sameDisks(in Situation) bool {
	return slices.EqualFunc(in.Snapshot.Status.Disks, written(in.Disks), func(s v1alpha1.SnapshotDisk, d Disk) bool {
		return d.Object != nil && s.UID == d.Object.UID
	})
}

// end removes a snapshot that is deleted.
func end(in Situation) Decision {
	s := in.Snapshot
	if !hasFinalizer(s) {
		return Decision{}
	}
	report := &Report{Phase: v1alpha1.SnapshotDeleting, Reason: v1alpha1.ReasonSnapshotDeleting, Message: "it is being removed from the disks"}
	if wait, left := in.Memory.left(in.Now); left {
		report.Message = in.Memory.Message + "; it is tried again"
		return Decision{RequeueAfter: wait, Report: report}
	}
	if in.Restoring {
		report.Message = "it is removed when the VM has been restored"
		return Decision{RequeueAfter: settle, Report: report}
	}
	return Decision{Report: report, Steps: []Step{StepClean, StepUnlink, StepLetGo}}
}

// restore brings a restore to its end that has begun. The guest is ended and started
// in the VM's turns.
func restore(in Situation) Decision {
	s := in.Snapshot
	report := &Report{Phase: v1alpha1.SnapshotRestoring, Reason: v1alpha1.ReasonRestoring, Message: broughtBack}
	r := s.Status.Restoring
	switch {
	case r.DisksDone && in.Asked:
		return Decision{Report: report, RequeueAfter: lookAgain}
	case r.DisksDone:
		return Decision{Steps: []Step{StepRestored}, Again: true}
	}
	if wait, left := in.Memory.left(in.Now); left {
		report.Message = in.Memory.Message + "; it is tried again"
		return Decision{RequeueAfter: wait, Report: report}
	}
	if in.Guest.active() || in.Guest.saved() {
		return Decision{Report: report, RequeueAfter: settle}
	}
	return Decision{Report: report, Steps: []Step{StepRevert}, Again: true}
}

// note remembers a failure and when to try again.
func (m *Memory) note(message string, now time.Time) {
	wait := firstBackoff << min(m.Failures, 10)
	m.Failures++
	m.RetryAt, m.Message = now.Add(min(wait, lastBackoff)), message
}

// left says how long to wait before the next try; false when it is due.
func (m *Memory) left(now time.Time) (time.Duration, bool) {
	wait := m.RetryAt.Sub(now)
	return wait, wait > 0
}
