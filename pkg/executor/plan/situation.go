package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/cardplug"
	"domus.dev/domus/pkg/executor/hotplug"
	"domus.dev/domus/pkg/executor/networks"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/probes"
	"domus.dev/domus/pkg/executor/snapshots"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

// Memory is what the executor remembers of a VM between two looks. It is lost
// with the process, which costs a guest no more than another grace period.
type Memory struct {
	// StopAskedAt is when the guest was first asked to shut down in the stop
	// that is going on, and LastAskedAt when it was last asked: a guest that
	// boots does not hear it.
	StopAskedAt, LastAskedAt time.Time
	// StartedAt is when this process last started the guest.
	StartedAt time.Time
	// Expected is true from a start until a stop is asked for: a guest that
	// does not run then has ended by itself.
	Expected bool
	// Starting is true when libvirt was told to start the guest and has not
	// answered: it may yet start.
	Starting bool
	// Failures counts ends and failed starts in a row, RetryAt is when the next
	// start is due, and Failure says what happened last.
	Failures int
	RetryAt  time.Time
	Failure  Failure
	// Attempt is what was tried in vain of pausing, resuming, saving and resizing.
	Attempt Attempt
	// DiskRetryAt is when a guest that stood still for a disk was last let go on.
	DiskRetryAt time.Time
	// SaveSince is since when the guest's memory is being saved, as far as this
	// process knows; zero when it is not. SaveAsked is true when it asked for
	// that. AbortedAt is when it last tried to end the save, and AbortError what
	// came of it, empty when nothing is wrong.
	SaveSince  time.Time
	SaveAsked  bool
	AbortedAt  time.Time
	AbortError string
	// CannotGoOn is why QEMU cannot have the paused guest go on unless it is reset, in
	// QEMU's words; empty when that is not known.
	CannotGoOn string
	// Balloon is what the guest's balloon was last told.
	Balloon Balloon
	// Refused is the last grant that this host refused to give a running guest.
	Refused *v1alpha1.GrowthRefusal
	// Operation is the one that was last asked for: what failed before it does not
	// hold it back.
	Operation types.UID
	// DisksSince is since when the guest waits for its disks; zero when it does not.
	DisksSince time.Time
	// NetworksSince is since when it waits for its networks.
	NetworksSince time.Time
	// Cards is what was tried of changing the running guest's cards.
	Cards Plugging[CardKey]
	// Plugging is what was tried of changing the guest's disks.
	Plugging Plugging[PlugKey]
}

// Attempt is a step that failed, Failures times in a row, and when to take it
// again.
type Attempt struct {
	Step     Step
	Failures int
	RetryAt  time.Time
	Failure  Failure
}

// See takes over what a look has shown; asked says that a Save of ours has not
// returned.
func (m *Memory) See(d *ownership.Observed, asked bool, now time.Time) {
	active := d != nil && d.State.Active()
	if active && d.State != libvirt.StatePaused {
		m.CannotGoOn = "" // somebody has reset it
	}
	saving := active && d.State == libvirt.StatePaused && d.Reason == libvirt.ReasonSaving
	switch {
	case !saving && (!active || !asked):
		m.SaveSince, m.SaveAsked, m.AbortedAt, m.AbortError = time.Time{}, false, time.Time{}, ""
	case m.SaveSince.IsZero():
		m.SaveSince, m.SaveAsked = now, asked
	}
}

// Failure is why a guest that shall run does not.
type Failure struct{ Reason, Message string }

// Situation is all that Decide decides by.
type Situation struct {
	// Node is this host and ClusterID this cluster.
	Node, ClusterID string
	// VM is nil when the API server, asked directly, says there is none.
	VM *v1alpha1.VirtualMachine
	// Domain is the domain that has, or should have, the VM's UUID; nil when
	// libvirt says there is none.
	Domain *ownership.Observed
	// Guest is what is known of its guest.
	Guest GuestView
	// LastWords are what the QEMU of a guest that is dead said last, where that is
	// known.
	LastWords string
	// Disks says whether the VM can have its VirtualDisks.
	Disks volumes.Gate
	// Networks says what the VM's cards are connected to, of a guest that does not run
	// and of one that is to be given cards.
	Networks networks.Gate
	// Cards is how the cards of a guest that runs are to change; nil while they are as
	// its mark says.
	Cards *cardplug.Comparison
	// Addresses are what the host has heard of the guest's cards, by their hardware
	// addresses.
	Addresses map[string][]string
	// Assigned are the addresses that CNI plugins gave the guest's cards, by the cards'
	// names; it has not those of which that cannot be told now.
	Assigned map[string][]string
	// Probe is what is known of whether the guest serves.
	Probe probes.View
	// Plug is how the disks of a guest that runs are to change; nil while they are as
	// its mark says.
	Plug *hotplug.Comparison
	// Idle are disks that are the VM's, that it does not name and that its guest has
	// not.
	Idle []*v1alpha1.VirtualDisk
	// Operation is what is asked of the guest; nil when nothing is.
	Operation *Request
	// Restore is one to a snapshot, asked for or begun; nil when there is none.
	Restore *snapshots.Restoration
	// SeedDiffers says that a Secret of the running guest's seed has changed.
	SeedDiffers bool
	Memory      Memory
	Now         time.Time
}

// Step is one thing to do to a domain or its VM. Every step may be repeated.
type Step string

// Steps.
const (
	// StepDefine checks the VM against policy and conversion, and against
	// capacity where there is no domain yet, stores the finalizer, and then
	// defines the domain.
	StepDefine Step = "Define"
	// StepStart starts the domain, or has it go on from its saved memory.
	StepStart Step = "Start"
	// StepAskShutdown asks the guest to shut down, without waiting.
	StepAskShutdown Step = "AskShutdown"
	// StepSuspend pauses the guest, and StepResume lets it go on.
	StepSuspend Step = "Suspend"
	StepResume  Step = "Resume"
	// StepTakeGrant has the domain's mark say what is granted by now, if the host
	// has it.
	StepTakeGrant Step = "TakeGrant"
	// StepPlugCPUs plugs in the vCPUs that the mark says, and StepSetMemory tells
	// the balloon how much memory to leave the guest.
	StepPlugCPUs  Step = "PlugCPUs"
	StepSetMemory Step = "SetMemory"
	// StepPlugCard makes the change of the guest's cards that is due, and
	// StepTakeCards has the domain's mark say that the guest has those of the spec.
	StepPlugCard  Step = "PlugCard"
	StepTakeCards Step = "TakeCards"
	// StepPlug makes the change of the guest's disks that is due, and StepTakeDisks
	// has the domain's definition and mark say that the guest has those of the spec.
	StepPlug      Step = "Plug"
	StepTakeDisks Step = "TakeDisks"
	// StepGiveBack gives the VM's claims to disks back that it has no more.
	StepGiveBack Step = "GiveBack"
	// StepSave begins to save the guest's memory, and does not wait for long.
	StepSave Step = "Save"
	// StepAbortSave ends a save that goes on.
	StepAbortSave Step = "AbortSave"
	// StepDiscardSave throws the guest's saved memory away.
	StepDiscardSave Step = "DiscardSave"
	// StepDestroy switches the guest off.
	StepDestroy Step = "Destroy"
	// StepEndDead switches a guest off that cannot go on. It has come to its end by
	// itself.
	StepEndDead Step = "EndDead"
	// StepUndefine removes the domain.
	StepUndefine Step = "Undefine"
	// StepRemoveFinalizer lets the VM go.
	StepRemoveFinalizer Step = "RemoveFinalizer"
	// StepNoteEnd remembers that the guest has ended by itself.
	StepNoteEnd Step = "NoteEnd"
	// StepBeginRestore says that the VM is being restored to a snapshot,
	// StepStartFromMemory has the guest go on from its memory, and StepEndRestore
	// says that the restore is over.
	StepBeginRestore    Step = "BeginRestore"
	StepStartFromMemory Step = "StartFromMemory"
	StepEndRestore      Step = "EndRestore"
)

// Report is what to say in the VM's status.
type Report struct {
	State           v1alpha1.HostState
	Reason, Message string
}

// Decision is what to do now.
type Decision struct {
	// Quarantine, when not empty, says why the domain is left alone for a
	// person to decide about.
	Quarantine string
	// Steps in order; the first that fails ends it.
	Steps []Step
	// Report is written after the steps; nil leaves the status as it is.
	Report *Report
	// Outcome is how the operation went, and written after the report; nil while
	// it is under way.
	Outcome *Outcome
	// Again asks for another look right after the steps.
	Again bool
	// RequeueAfter, when positive, asks for another look then.
	RequeueAfter time.Duration
}

// NeedsLive says whether the decision must be made on an object read from the
// API server itself: it stops or starts something, or gives something up for
// lost. A cache may be older than an unbinding.
func (d Decision) NeedsLive() bool {
	if d.Quarantine != "" {
		return true
	}
	for _, s := range d.Steps {
		if s != StepNoteEnd {
			return true
		}
	}
	return d.Report != nil && (d.Report.State == v1alpha1.HostRejected || d.Report.State == v1alpha1.HostGone)
}
