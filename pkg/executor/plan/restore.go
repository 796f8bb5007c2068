package plan

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/snapshots"
	"domus.dev/domus/pkg/libvirt"
)

// planRestore decides about a VM that is to be restored to a snapshot, or is being;
// false when that changes nothing of what is to be done. The disks are brought back
// beside the VM's turns, by the keeper of snapshots, when no guest has them.
//
// What would be lost is asked about once, before it is said that the restore has
// begun; what follows is done whatever becomes of the operation.
func planRestore(in Situation, host *v1alpha1.HostStatus) (Decision, bool) {
	r, d := in.Restore, in.Domain
	if in.Operation != nil && in.Operation.Type == v1alpha1.OperationForceStop {
		return Decision{}, false // which waits for nothing
	}
	if r == nil || in.VM.DeletionTimestamp != nil || in.VM.Status.Eviction != nil || Ended(host) {
		return Decision{}, false
	}
	active, saved := d != nil && d.State.Active(), d != nil && d.Saved
	started := active && r.Asked && d.Ownership.Operation == r.Operation
	switch {
	case r.Unknown && !active && in.VM.Spec.PowerState != v1alpha1.PowerStopped:
		return Decision{RequeueAfter: Settle}, true // nothing is started before that is known
	case r.Unknown:
		return Decision{}, false
	case r.Over && r.Asked:
		return conclude(Succeeded("the VirtualMachine is as in VirtualMachineSnapshot %s", r.Snapshot.Name)), true
	case !r.Begun && !r.Asked:
		return Decision{}, false
	case !r.Begun && r.Refusal != "":
		return conclude(Failed(v1alpha1.ReasonSnapshotUnusable, "%s", r.Refusal)), true
	case !r.Begun && (active || saved) && !r.DiscardRunning:
		return conclude(Failed(v1alpha1.ReasonWrongState, "%s", wouldLose(d))), true
	case !r.Begun && r.Memory && RestartBarred(in.VM) != "":
		return conclude(Failed(v1alpha1.ReasonWrongState, "the guest cannot go on from its memory: %s; or set restore.withoutMemory", RestartBarred(in.VM))), true
	case !r.Begun:
		return Decision{Steps: []Step{StepBeginRestore}, Again: true}, true
	case !r.DisksDone && active:
		return Decision{Steps: []Step{StepDestroy}, Again: true}, true
	case !r.DisksDone && saved:
		return Decision{Steps: []Step{StepDiscardSave}, Again: true}, true
	case !r.DisksDone:
		return Decision{Report: beingRestored(r.Snapshot), RequeueAfter: Settle}, true
	case !r.Asked:
		return Decision{Report: beingRestored(r.Snapshot), RequeueAfter: Settle}, !active // the keeper ends it
	case !r.Start, !active && RestartBarred(in.VM) != "", started && d.State == libvirt.StateRunning:
		return Decision{Steps: []Step{StepEndRestore}, Again: true}, true
	case started:
		return run(in, host), true
	case active:
		// It was started by nobody here, and has the disks.
		return Decision{Steps: []Step{StepEndRestore}, Again: true}, true
	case in.Now.Before(in.Memory.RetryAt):
		return waitToRetry(in), true
	case r.Memory:
		if decision, waits := awaitDisks(in); waits {
			return decision, true
		}
		return Decision{Steps: []Step{StepDefine, StepStartFromMemory}, Again: true}, true
	}
	return begin(in), true
}

func conclude(o Outcome) Decision { return Decision{Outcome: &o, Again: true} }

// wouldLose says what a restore would lose beside what is on the disks.
func wouldLose(d *ownership.Observed) string {
	what := "the guest runs"
	if d.Saved {
		what = "the guest's memory is saved"
	}
	return what + ", and would be lost: set spec.powerState to Stopped first, or set restore.discardRunning to have it switched off"
}

// beingRestored reports on a VM whose disks are being brought back.
func beingRestored(s *v1alpha1.VirtualMachineSnapshot) *Report {
	message := "the VM is being restored to VirtualMachineSnapshot " + s.Name
	if why := snapshots.Trouble(s); why != "" {
		message += ": " + why
	}
	return &Report{State: v1alpha1.HostStopped, Reason: v1alpha1.ReasonRestoring, Message: message}
}
