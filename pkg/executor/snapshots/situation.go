// Package snapshots makes, removes and restores the VirtualMachineSnapshots of one
// host.
//
// What a snapshot holds of a disk is in the disk's own qcow2 file, under a name that
// no other object ever has; each is whole by itself, so that removing one takes
// nothing from another. A guest's memory is a file beside its first disk. What is
// whole is said by the object alone: whatever ends this process, what was not said
// to be Ready is removed and made anew.
package snapshots

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Guest is what there is of a VM on the host.
type Guest struct {
	// Domain is the VM's own; nil when it has none here.
	Domain *libvirt.Domain
	// Writes says that the guest has disks that it may write and that are no
	// VirtualDisks.
	Writes bool
}

func (g Guest) active() bool { return g.Domain != nil && g.Domain.State.Active() }
func (g Guest) saved() bool  { return g.Domain != nil && g.Domain.Saved }

// Disk is a disk that the VM's spec names, and its object; nil when there is none.
type Disk struct {
	Spec   *v1alpha1.VirtualMachineDisk
	Object *v1alpha1.VirtualDisk
	// Copied says that its volume is being read, for a copy, a move or an export.
	Copied bool
}

// has says whether a guest runs, or is paused, that has the volume.
func (g Guest) has(v libvirt.VolumeRef) bool {
	return g.active() && slices.Contains(g.Domain.Volumes, v)
}

// Memory is what is remembered of a snapshot between two looks; it is lost with the
// process.
type Memory struct {
	// Snapshot is which one it is about.
	Snapshot types.UID
	// Cleaned says that nothing of it is left of what an earlier try may have left.
	Cleaned bool
	// Untouched says that no try of it can have halted the guest or brought its file
	// systems to rest: this process began it, and no try has come that far.
	Untouched bool
	// Failures counts those in a row, RetryAt is when to try again, and Message says
	// what happened last.
	Failures int
	RetryAt  time.Time
	Message  string
	// Refused says that it failed for good, with a reason and a message.
	Refused, Why string
	// Made is what was made, until that is written.
	Made *Made
}

// Made is a snapshot that has been made.
type Made struct {
	At time.Time
	// Quiesced is condition Quiesced: whether, with its reason and message.
	Quiesced        bool
	Reason, Message string
	// MemoryBytes is how much memory was written.
	MemoryBytes int64
	// Touched says that the guest was to stand still for it, or its file systems to rest.
	Touched bool
}

// Situation is all that Plan decides by.
type Situation struct {
	Node     string
	Snapshot *v1alpha1.VirtualMachineSnapshot
	// VM is nil when there is none of the name.
	VM    *v1alpha1.VirtualMachine
	Guest Guest
	// Disks are those of the VM's spec.
	Disks []Disk
	// Restoring says that the VM is being restored, to this snapshot or another.
	Restoring bool
	// Asked says that the operation is there that the restore was begun for.
	Asked  bool
	Memory Memory
	Now    time.Time
}

// Step is one thing to do. Every step may be repeated.
type Step string

// Steps.
const (
	// StepHold stores the finalizer.
	StepHold Step = "Hold"
	// StepBegin says in the status that it is being made, and of which disks.
	StepBegin Step = "Begin"
	// StepClean removes all of it from the disks, and the memory.
	StepClean Step = "Clean"
	// StepMake makes it.
	StepMake Step = "Make"
	// StepFinish says that it is whole.
	StepFinish Step = "Finish"
	// StepFail says that it is not to be had.
	StepFail Step = "Fail"
	// StepRevert brings the disks back to it.
	StepRevert Step = "Revert"
	// StepRestored says that the restore is over.
	StepRestored Step = "Restored"
	// StepUnlink has what was based on it be based on what it was based on.
	StepUnlink Step = "Unlink"
	// StepLetGo removes the finalizer.
	StepLetGo Step = "LetGo"
)

// Report is what to say in the status.
type Report struct {
	Phase v1alpha1.SnapshotPhase
	// Reason and Message are of condition Ready.
	Reason, Message string
}

// Decision is what to do now.
type Decision struct {
	// Steps in order; the first that fails ends it.
	Steps []Step
	// Report is written before the steps; nil leaves the status as it is.
	Report *Report
	// Again asks for another look right after the steps.
	Again bool
	// RequeueAfter, when positive, asks for another look then.
	RequeueAfter time.Duration
	// Refused and Why are for StepFail.
	Refused, Why string
}

func hasFinalizer(s *v1alpha1.VirtualMachineSnapshot) bool {
	return slices.Contains(s.Finalizers, v1alpha1.SnapshotFinalizer)
}

// Ready says whether a VM can be restored to the snapshot.
func Ready(s *v1alpha1.VirtualMachineSnapshot) bool {
	return s.DeletionTimestamp == nil && (s.Status.Phase == v1alpha1.SnapshotReady || s.Status.Phase == v1alpha1.SnapshotRestoring)
}

// volumes are where the snapshot's disks lie.
func volumes(s *v1alpha1.VirtualMachineSnapshot) []libvirt.VolumeRef {
	out := make([]libvirt.VolumeRef, 0, len(s.Status.Disks))
	for _, d := range s.Status.Disks {
		out = append(out, libvirt.VolumeRef{Pool: d.PoolName, Name: d.VolumeName})
	}
	return out
}
