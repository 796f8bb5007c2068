// Package volumes looks after the volumes of the VirtualDisks whose home is one
// host: it makes, grows and removes them, says in their status what became of
// them, and tells guests' starts which are ready.
//
// A volume that is being made has a mark beside it in its pool, a tiny volume of
// its own: one without is whole. So whatever ends this process, and whatever the
// API server has forgotten, what is whole is kept and what is not is made anew.
package volumes

import (
	"slices"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// User is who has a disk.
type User struct {
	// VM is the VirtualMachine, or a word for a domain that is none's, or for a
	// snapshot, as Snapshot says.
	VM       string
	Snapshot bool
	// DomainUUID is that of its domain here; empty where there is none.
	DomainUUID string
	// Running says that a guest has the disk now, and Saved that the saved memory
	// of one counts on it.
	Running, Saved bool
}

// Memory is what is remembered of a disk between two looks; it is lost with the
// process.
type Memory struct {
	// Failures counts those in a row, RetryAt is when to try again, and Step, Reason
	// and Message say what happened last; to the disk as Generation of its spec had it.
	Failures        int
	Generation      int64
	RetryAt         time.Time
	Step            Step
	Reason, Message string
}

// Situation is all that Plan decides by.
type Situation struct {
	Node string
	// Disk is nil when there is none.
	Disk *v1alpha1.VirtualDisk
	// Pool is nil when the host has no such pool that is active.
	Pool *libvirt.Pool
	// Volume is nil when there is none of the disk's name, and Marked says that it
	// is marked as being made.
	Volume *libvirt.Volume
	Marked bool
	// Misread is what libvirt takes the volume for although it is another format;
	// empty when it does not.
	Misread string
	// Room is how much of the pool is nobody else's by promise, in bytes.
	Room int64
	// Source is what the disk is a copy of; nil when it copies none, or that is not
	// there.
	Source *Source
	// Image is what the disk begins with; nil when it begins with none, or it is not
	// to be made.
	Image *Image
	// Copied says that the volume is being read, for a copy or an export.
	Copied bool
	// Users are those who have the disk.
	Users  []User
	Memory Memory
	Now    time.Time
}

// Source is a VirtualDisk that is copied.
type Source struct {
	Disk *v1alpha1.VirtualDisk
	// Volume is nil when there is none.
	Volume *libvirt.Volume
	// Writer is who may be writing it; nil when nobody is.
	Writer *User
	// Misread is what libvirt takes the volume for although it is another format:
	// its content says so. Empty when it does not.
	Misread string
}

// Step is one thing to do. Every step may be repeated.
type Step string

// Steps.
const (
	// StepHold stores the finalizer.
	StepHold Step = "Hold"
	// StepMark marks the volume as being made.
	StepMark Step = "Mark"
	// StepMake makes it.
	StepMake Step = "Make"
	// StepUnmark says that it is whole.
	StepUnmark Step = "Unmark"
	// StepGrow gives it the size that the disk has now.
	StepGrow Step = "Grow"
	// StepRemove removes the volume.
	StepRemove Step = "Remove"
	// StepRetain tells that the volume is left where it is.
	StepRetain Step = "Retain"
	// StepLetGo removes the finalizer.
	StepLetGo Step = "LetGo"
)

// Report is what to say in the disk's status.
type Report struct {
	Phase v1alpha1.DiskPhase
	// Reason and Message are of condition Ready; it is True when Reason is
	// VolumeReady.
	Reason, Message string
	// NotSized and why say why the volume has not the disk's size; empty when it
	// has, or there is none.
	NotSized, Why string
	// Volume is what there is; nil leaves the status as it is. Its format is the
	// disk's own, whatever its content says.
	Volume *libvirt.Volume
	// Move is how the disk's move goes; nil leaves that as it is.
	Move *v1alpha1.DiskMoveProgress
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
}

// waitsForGuests says whether what guests do may change the decision.
func (d Decision) waitsForGuests() bool {
	r := d.Report
	return r != nil && (r.Reason == v1alpha1.ReasonInUse || r.Reason == v1alpha1.ReasonSourceInUse || r.NotSized == v1alpha1.ReasonInUse || r.Move != nil)
}

// hasFinalizer says whether the object waits for its host.
func hasFinalizer(d *v1alpha1.VirtualDisk) bool {
	return slices.Contains(d.Finalizers, v1alpha1.VolumeFinalizer)
}
