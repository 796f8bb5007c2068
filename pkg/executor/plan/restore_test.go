package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/snapshots"
	"domus.dev/domus/pkg/libvirt"
)

func TestPlanRestore(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	snapshot := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
	vm := func(power v1alpha1.PowerState) *v1alpha1.VirtualMachine {
		vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "uid"}}
		vm.Spec.PowerState = power
		vm.Status.Placement = &v1alpha1.Placement{NodeName: "a"}
		return vm
	}
	domain := func(state libvirt.State, operation string) *ownership.Observed {
		d := &ownership.Observed{Domain: libvirt.Domain{UUID: "uid", State: state}, Owned: true}
		d.Ownership.Operation = "op"
		if operation == "" {
			d.Ownership.Operation = ""
		}
		return d
	}
	saved := domain(libvirt.StateShutOff, "")
	saved.Saved = true
	off, runs, ours := domain(libvirt.StateShutOff, ""), domain(libvirt.StateRunning, ""), domain(libvirt.StateRunning, "op")
	asked := func(change func(r *snapshots.Restoration)) *snapshots.Restoration {
		r := &snapshots.Restoration{Snapshot: snapshot, Operation: "op", Asked: true}
		change(r)
		return r
	}
	fresh := asked(func(*snapshots.Restoration) {})
	for name, test := range map[string]struct {
		restore *snapshots.Restoration
		domain  *ownership.Observed
		power   v1alpha1.PowerState
		want    []Step
		// outcome is in what is said to the operation, and untouched says that the
		// restore changes nothing.
		outcome   string
		untouched bool
	}{
		"none":                         {nil, runs, "", nil, "", true},
		"not known yet, and off":       {&snapshots.Restoration{Unknown: true}, off, "", nil, "", false},
		"not known yet, and it runs":   {&snapshots.Restoration{Unknown: true}, runs, "", nil, "", true},
		"not known yet, and to be off": {&snapshots.Restoration{Unknown: true}, off, v1alpha1.PowerStopped, nil, "", true},
		"refused":                      {asked(func(r *snapshots.Restoration) { r.Refusal = "there is none" }), runs, "", nil, "there is none", false},
		"a guest that runs":            {fresh, runs, "", nil, "restore.discardRunning", false},
		"saved memory":                 {fresh, saved, "", nil, "memory is saved, and would be lost", false},
		"a guest to be discarded":      {asked(func(r *snapshots.Restoration) { r.DiscardRunning = true }), runs, "", []Step{StepBeginRestore}, "", false},
		"no guest":                     {fresh, off, "", []Step{StepBeginRestore}, "", false},
		"no domain":                    {fresh, nil, "", []Step{StepBeginRestore}, "", false},
		"memory of one to be off":      {asked(func(r *snapshots.Restoration) { r.Memory = true }), off, v1alpha1.PowerStopped, nil, "spec.powerState is Stopped", false},
		"begun, it runs":               {asked(func(r *snapshots.Restoration) { r.Begun = true }), runs, "", []Step{StepDestroy}, "", false},
		"begun, it is saved":           {asked(func(r *snapshots.Restoration) { r.Begun = true }), saved, "", []Step{StepDiscardSave}, "", false},
		"begun, it is off":             {asked(func(r *snapshots.Restoration) { r.Begun = true }), off, "", nil, "", false},
		"begun, and nobody asks":       {&snapshots.Restoration{Snapshot: snapshot, Begun: true}, runs, "", []Step{StepDestroy}, "", false},
		"disks done, nobody asks":      {&snapshots.Restoration{Snapshot: snapshot, Begun: true, DisksDone: true, Start: true}, off, "", nil, "", false},
		"disks done, not to start":     {asked(func(r *snapshots.Restoration) { r.Begun, r.DisksDone = true, true }), off, "", []Step{StepEndRestore}, "", false},
		"disks done, to boot":          {asked(func(r *snapshots.Restoration) { r.Begun, r.DisksDone, r.Start = true, true, true }), off, "", []Step{StepDefine, StepStart}, "", false},
		"disks done, to go on":         {asked(func(r *snapshots.Restoration) { r.Begun, r.DisksDone, r.Start, r.Memory = true, true, true, true }), off, "", []Step{StepDefine, StepStartFromMemory}, "", false},
		"stopped by now":               {asked(func(r *snapshots.Restoration) { r.Begun, r.DisksDone, r.Start, r.Memory = true, true, true, true }), off, v1alpha1.PowerStopped, []Step{StepEndRestore}, "", false},
		"it goes on":                   {asked(func(r *snapshots.Restoration) { r.Begun, r.DisksDone, r.Start, r.Memory = true, true, true, true }), ours, "", []Step{StepEndRestore}, "", false},
		"over":                         {asked(func(r *snapshots.Restoration) { r.Over = true }), ours, "", nil, "is as in VirtualMachineSnapshot s", false},
	} {
		t.Run(name, func(t *testing.T) {
			in := Situation{Node: "a", VM: vm(test.power), Domain: test.domain, Restore: test.restore, Now: now}
			d, decided := planRestore(in, nil)
			if decided == test.untouched {
				t.Errorf("decided %v", decided)
			}
			if diff := cmp.Diff(test.want, d.Steps); diff != "" {
				t.Error(diff)
			}
			said := ""
			if d.Outcome != nil {
				said = d.Outcome.Message
			}
			if !strings.Contains(said, test.outcome) || said != "" && test.outcome == "" {
				t.Errorf("says %q", said)
			}
			// A guest is never started before the disks are back.
			for _, step := range d.Steps {
				if r := test.restore; (step == StepStart || step == StepStartFromMemory) && !r.DisksDone {
					t.Errorf("step %s", step)
				}
			}
			in.Operation = &Request{UID: "plug", Type: v1alpha1.OperationForceStop}
			if _, decided := planRestore(in, nil); decided {
				t.Error("a ForceStop waits for it")
			}
		})
	}
}

// A VM whose restore cannot go on says why, and not its snapshot alone.
func TestARestoreThatCannotGoOnSaysWhy(t *testing.T) {
	s := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
	say := func(message string) {
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSnapshotReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRestoring, Message: message}}
	}
	say("storage pool 'default' is not active; it is tried again")
	if got := beingRestored(s).Message; got != "the VM is being restored to VirtualMachineSnapshot s: storage pool 'default' is not active; it is tried again" {
		t.Errorf("%q", got)
	}
	say("the VM is being brought back to it")
	if got := beingRestored(s).Message; got != "the VM is being restored to VirtualMachineSnapshot s" {
		t.Errorf("%q", got)
	}
}
