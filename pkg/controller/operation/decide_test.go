package operation

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// asked is an operation on web that was created just now.
func asked(kind v1alpha1.OperationType, change ...func(*v1alpha1.VirtualMachineOperation)) *v1alpha1.VirtualMachineOperation {
	op := &v1alpha1.VirtualMachineOperation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "op", UID: "op-uid", CreationTimestamp: metav1.NewTime(now)},
		Spec: v1alpha1.VirtualMachineOperationSpec{
			VirtualMachineName: "web", Type: kind, TimeoutSeconds: ptr.To[int32](60), TTLSecondsAfterFinished: ptr.To[int32](100),
		},
		Status: v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationPending},
	}
	for _, c := range change {
		c(op)
	}
	return op
}

func created(at time.Time) func(*v1alpha1.VirtualMachineOperation) {
	return func(op *v1alpha1.VirtualMachineOperation) { op.CreationTimestamp = metav1.NewTime(at) }
}

// given is what asked is once a host has it.
func given(op *v1alpha1.VirtualMachineOperation) {
	op.OwnerReferences = []metav1.OwnerReference{{APIVersion: "domus.dev/v1alpha1", Kind: "VirtualMachine", Name: "web", UID: "web-uid"}}
	op.Status.NodeName, op.Status.VirtualMachineUID, op.Status.Epoch = "a", "web-uid", 3
}

func finished(at time.Time) func(*v1alpha1.VirtualMachineOperation) {
	return func(op *v1alpha1.VirtualMachineOperation) {
		op.Status.Phase, op.Status.FinishedAt = v1alpha1.OperationSucceeded, ptr.To(metav1.NewTime(at))
	}
}

func ownedBy(uid types.UID) func(*v1alpha1.VirtualMachineOperation) {
	return func(op *v1alpha1.VirtualMachineOperation) {
		given(op)
		op.OwnerReferences[0].UID = uid
		op.Status = v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationPending}
	}
}

// web runs on a in its epoch 3, since an hour.
func web(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web", UID: "web-uid", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
		Spec:       v1alpha1.VirtualMachineSpec{PowerState: v1alpha1.PowerRunning, RunPolicy: v1alpha1.RunAlways},
		Status: v1alpha1.VirtualMachineStatus{
			Epoch: 3, Phase: v1alpha1.PhaseRunning, Placement: &v1alpha1.Placement{NodeName: "a"},
			Host: &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRunning},
		},
	}
	for _, c := range change {
		c(vm)
	}
	return vm
}

// plug is a ForceStop that is asked for a second after what asked is.
func plug(change ...func(*v1alpha1.VirtualMachineOperation)) *v1alpha1.VirtualMachineOperation {
	op := asked(v1alpha1.OperationForceStop, append(change, created(now.Add(time.Second)))...)
	op.Name, op.UID = "plug", "plug-uid"
	return op
}

func powered(p v1alpha1.PowerState) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = p }
}

// left is a VM that gave its place on a up and has no other one yet.
func left(vm *v1alpha1.VirtualMachine) {
	vm.Status.Epoch, vm.Status.Placement = 4, nil
	vm.Status.Host.State, vm.Status.Host.Reason = v1alpha1.HostGone, v1alpha1.ReasonResizeNeedsPlacement
	vm.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: "Unschedulable", Message: "no room"}}
}

// elsewhere is a VM that was placed on b then; its host last spoke of that epoch.
func elsewhere(said int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Epoch, vm.Status.Placement = 4, &v1alpha1.Placement{NodeName: "b"}
		vm.Status.Host.Epoch = said
	}
}

func TestDecide(t *testing.T) {
	const silent = "a cannot be reached, its vm-executor has not been heard of (taint domus.dev/executor-unreachable)"
	at := ptr.To(metav1.NewTime(now))
	failed := func(reason, message string) *v1alpha1.VirtualMachineOperationStatus {
		return &v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationFailed, Reason: reason, Message: message, FinishedAt: at}
	}
	refused := func(reason, message string) *v1alpha1.VirtualMachineOperationStatus {
		s := failed(reason, message)
		s.VirtualMachineUID = "web-uid"
		return s
	}
	failedOnHost := func(reason, message string) *v1alpha1.VirtualMachineOperationStatus {
		s := failed(reason, message)
		s.NodeName, s.VirtualMachineUID, s.Epoch = "a", "web-uid", 3
		return s
	}
	succeededOnHost := func(message string) *v1alpha1.VirtualMachineOperationStatus {
		s := failedOnHost("", message)
		s.Phase = v1alpha1.OperationSucceeded
		return s
	}
	succeeded := func(message string) *v1alpha1.VirtualMachineOperationStatus {
		s := refused("", message)
		s.Phase = v1alpha1.OperationSucceeded
		return s
	}
	assigned := &v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationPending, NodeName: "a", VirtualMachineUID: "web-uid", Epoch: 3}
	waits := &v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationPending, Reason: v1alpha1.ReasonHostUnreachable, Message: "waiting for the host: " + silent}
	for name, c := range map[string]struct {
		in   situation
		want decision
	}{
		"it is given to the VM's host": {
			situation{operation: asked(v1alpha1.OperationReset), vm: web()}, decision{own: true, status: assigned, after: time.Minute},
		},
		"one that is the VM's already is not made so again": {
			situation{operation: asked(v1alpha1.OperationReset, given, func(op *v1alpha1.VirtualMachineOperation) {
				op.Status = v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationPending}
			}), vm: web()},
			decision{status: assigned, after: time.Minute},
		},
		"it waits for the one before it": {
			situation{operation: asked(v1alpha1.OperationReset), ahead: asked(v1alpha1.OperationRestart), vm: web()}, decision{after: time.Minute},
		},
		"no longer than its time limit": {
			situation{operation: asked(v1alpha1.OperationReset, created(now.Add(-time.Minute))), ahead: asked(v1alpha1.OperationRestart), vm: web()},
			decision{status: refused("TimedOut", "1m0s passed while waiting for operation op (Restart) to end")},
		},
		"there is no VM": {
			situation{operation: asked(v1alpha1.OperationReset)},
			decision{status: failed("VirtualMachineNotFound", "there is no VirtualMachine web in namespace demo: see kubectl get vm --namespace demo")},
		},
		"the VM is younger than the operation": {
			situation{operation: asked(v1alpha1.OperationReset), vm: web(func(vm *v1alpha1.VirtualMachine) { vm.CreationTimestamp = metav1.NewTime(now.Add(time.Second)) })},
			decision{status: failed("VirtualMachineNotFound", "VirtualMachine web was created after this was asked of it: create the operation anew if it is meant for the present one")},
		},
		"it was another VM's of that name": {
			situation{operation: asked(v1alpha1.OperationReset, ownedBy("other")), vm: web()},
			decision{status: failed("VirtualMachineNotFound", "VirtualMachine web was created after this was asked of it: create the operation anew if it is meant for the present one")},
		},
		"the VM is in the wrong state": {
			situation{operation: asked(v1alpha1.OperationReset), vm: web(state(v1alpha1.HostStopped))},
			decision{status: refused("WrongState", "Reset needs a guest that is Running or Paused, and that of VirtualMachine web is Stopped: set spec.powerState to Running to start it")},
		},
		"a host that is silent is waited for": {
			situation{operation: asked(v1alpha1.OperationReset), vm: web(), silence: silent}, decision{status: waits, after: time.Minute},
		},
		"that is said once": {
			situation{operation: asked(v1alpha1.OperationReset, func(op *v1alpha1.VirtualMachineOperation) { op.Status = *waits }), vm: web(), silence: silent},
			decision{after: time.Minute},
		},
		"a host that was waited for is there": {
			situation{operation: asked(v1alpha1.OperationReset, func(op *v1alpha1.VirtualMachineOperation) { op.Status = *waits }), vm: web()},
			decision{own: true, status: assigned, after: time.Minute},
		},
		"a host that is silent for too long": {
			situation{operation: asked(v1alpha1.OperationReset, created(now.Add(-time.Minute))), vm: web(), silence: silent},
			decision{status: refused("TimedOut", "1m0s passed while waiting for the host: "+silent)},
		},

		"a host has its time": {situation{operation: asked(v1alpha1.OperationReset, given), vm: web()}, decision{after: time.Minute}},
		"and some more to say that it is over": {
			situation{operation: asked(v1alpha1.OperationReset, given, created(now.Add(-70*time.Second))), vm: web()}, decision{after: 20 * time.Second},
		},
		"and no more": {
			situation{operation: asked(v1alpha1.OperationReset, given, created(now.Add(-90*time.Second))), vm: web()},
			decision{status: failedOnHost("TimedOut", "1m0s passed while waiting for a to say how it went: see the log of its vm-executor")},
		},
		"a host that went silent has none": {
			situation{operation: asked(v1alpha1.OperationReset, given, created(now.Add(-60*time.Second))), vm: web(), silence: silent},
			decision{status: failedOnHost("TimedOut", "1m0s passed while waiting for a to say how it went: "+silent)},
		},
		"the VM was deleted": {
			situation{operation: asked(v1alpha1.OperationReset, given)},
			decision{status: failedOnHost("BindingEnded", "the VirtualMachine was deleted before a said how it went")},
		},
		"the VM was created anew": {
			situation{operation: asked(v1alpha1.OperationReset, given), vm: web(func(vm *v1alpha1.VirtualMachine) { vm.UID = "other" })},
			decision{status: failedOnHost("BindingEnded", "the VirtualMachine was deleted before a said how it went")},
		},
		"the VM was evicted": {
			situation{operation: asked(v1alpha1.OperationReset, given), vm: web(func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch, vm.Status.Placement = 4, nil })},
			decision{status: failedOnHost("BindingEnded", "the VirtualMachine left a before that said how it went: create the operation anew when it has another host")},
		},

		"a restart follows its VM to another place": {
			situation{operation: asked(v1alpha1.OperationRestart, given), vm: web(left)},
			decision{after: time.Minute},
		},
		"a restart is done when the VM runs there": {
			situation{operation: asked(v1alpha1.OperationRestart, given), vm: web(elsewhere(4))},
			decision{status: succeededOnHost("the guest was started on b, where the VirtualMachine was placed anew, with the spec as it is now")},
		},
		"a restart is not done by what ran before": {
			situation{operation: asked(v1alpha1.OperationRestart, given), vm: web(elsewhere(3))},
			decision{after: time.Minute},
		},
		"a restart says what the VM waited for": {
			situation{operation: asked(v1alpha1.OperationRestart, given, created(now.Add(-60*time.Second))), vm: web(left)},
			decision{status: failedOnHost("TimedOut", "1m0s passed while waiting for the VirtualMachine, which left a, to run again: Unschedulable: no room")},
		},
		"a restart of what shall not run any more": {
			situation{operation: asked(v1alpha1.OperationRestart, given), vm: web(left, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped })},
			decision{status: failedOnHost("WrongState", "spec.powerState is Stopped by now")},
		},

		"a guest that shut down by itself is off, as asked": {
			situation{operation: asked(v1alpha1.OperationForceStop), vm: web(state(v1alpha1.HostStopped), powered(v1alpha1.PowerStopped))},
			decision{status: succeeded("the guest is off already")},
		},
		"so is one that has ended": {
			situation{operation: asked(v1alpha1.OperationForceStop), vm: web(state(v1alpha1.HostEnded))},
			decision{status: succeeded("the guest is off already")},
		},
		"and one whose VM gave its place back": {
			situation{operation: asked(v1alpha1.OperationForceStop), vm: web(left, powered(v1alpha1.PowerStopped))},
			decision{status: succeeded("the guest is off already")},
		},
		"or gave it back meanwhile": {
			situation{operation: asked(v1alpha1.OperationForceStop, given), vm: web(left, powered(v1alpha1.PowerStopped))},
			decision{status: succeededOnHost("the guest was ended, and the VirtualMachine gave its place on a back")},
		},
		"one that is about to be started is not off": {
			situation{operation: asked(v1alpha1.OperationForceStop), vm: web(state(v1alpha1.HostStopped))},
			decision{status: refused("WrongState", "ForceStop needs a guest that is Running, Paused, Stopping or Failed, and that of VirtualMachine web is Stopped: set spec.powerState to Running to start it")},
		},

		"a ForceStop overtakes what waits": {
			situation{operation: asked(v1alpha1.OperationRestart), plug: plug(), vm: web()},
			decision{status: refused("Superseded", "operation plug (ForceStop) was asked for, which waits for no other: it was not begun; ask again if it is still wanted")},
		},
		"and what a host has begun": {
			situation{operation: asked(v1alpha1.OperationRestart, given), plug: plug(), vm: web()},
			decision{status: failedOnHost("Superseded", "operation plug (ForceStop) was asked for, which waits for no other: a may have begun it, and whether it took effect is not known; ask again if it is still wanted")},
		},
		"also once the host has it": {
			situation{operation: asked(v1alpha1.OperationRestart, given), plug: plug(given), vm: web(), silence: silent},
			decision{status: failedOnHost("Superseded", "operation plug (ForceStop) was asked for, which waits for no other: a may have begun it, and whether it took effect is not known; ask again if it is still wanted")},
		},
		"not what was asked for after it": {
			situation{operation: asked(v1alpha1.OperationRestart, created(now.Add(2*time.Second))), plug: plug(), ahead: plug(), vm: web()},
			decision{after: 62 * time.Second},
		},
		"nor another ForceStop": {
			situation{operation: asked(v1alpha1.OperationForceStop), plug: plug(), vm: web()}, decision{own: true, status: assigned, after: time.Minute},
		},
		"nor what is over": {
			situation{operation: asked(v1alpha1.OperationRestart, given, finished(now)), plug: plug(), vm: web()}, decision{after: 100 * time.Second},
		},
		"nor anything while it cannot be done itself": {
			situation{operation: asked(v1alpha1.OperationRestart), plug: plug(), vm: web(state(v1alpha1.HostSuspended))}, decision{own: true, status: assigned, after: time.Minute},
		},
		"nor while the host is silent": {
			situation{operation: asked(v1alpha1.OperationRestart), plug: plug(), vm: web(), silence: silent}, decision{status: waits, after: time.Minute},
		},

		"one that is over goes with its VM": {
			situation{operation: asked(v1alpha1.OperationReset, given, finished(now))}, decision{remove: true},
		},
		"also one that was refused": {
			situation{operation: asked(v1alpha1.OperationReset, finished(now), func(op *v1alpha1.VirtualMachineOperation) { op.Status.VirtualMachineUID = "web-uid" })}, decision{remove: true},
		},
		"and where there is another VM of that name": {
			situation{operation: asked(v1alpha1.OperationReset, given, finished(now)), vm: web(func(vm *v1alpha1.VirtualMachine) { vm.UID = "other" })}, decision{remove: true},
		},
		"one that never had a VM stays to be read": {
			situation{operation: asked(v1alpha1.OperationReset, finished(now))}, decision{after: 100 * time.Second},
		},
		"one that is over is kept for a while":  {situation{operation: asked(v1alpha1.OperationReset, finished(now.Add(-99*time.Second)))}, decision{after: time.Second}},
		"and removed then":                      {situation{operation: asked(v1alpha1.OperationReset, finished(now.Add(-100*time.Second)))}, decision{remove: true}},
		"one that is deleted is left to itself": {situation{operation: asked(v1alpha1.OperationReset, func(op *v1alpha1.VirtualMachineOperation) { op.DeletionTimestamp = at })}, decision{}},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.now = now
			if diff := cmp.Diff(c.want, decide(c.in), cmp.AllowUnexported(decision{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func state(s v1alpha1.HostState) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State = s }
}

// TestStates holds which operation can be done in which state.
func TestStates(t *testing.T) {
	all := []v1alpha1.OperationType{
		v1alpha1.OperationRestart, v1alpha1.OperationReset, v1alpha1.OperationForceStop, v1alpha1.OperationSendKey,
		v1alpha1.OperationScreenshot, v1alpha1.OperationSetPassword, v1alpha1.OperationInjectSSHKey, v1alpha1.OperationMeasure,
	}
	deleted := func(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }
	for name, c := range map[string]struct {
		vm   *v1alpha1.VirtualMachine
		want []v1alpha1.OperationType
	}{
		"running":  {web(), all},
		"paused":   {web(state(v1alpha1.HostPaused)), []v1alpha1.OperationType{"Restart", "Reset", "ForceStop", "Screenshot", "Measure"}},
		"stopping": {web(state(v1alpha1.HostStopping)), []v1alpha1.OperationType{"Restart", "ForceStop", "Screenshot", "Measure"}},
		"failed":   {web(state(v1alpha1.HostFailed)), []v1alpha1.OperationType{"Restart", "ForceStop"}},
		"ended":    {web(state(v1alpha1.HostEnded)), []v1alpha1.OperationType{"Restart"}},
		"stopped":  {web(state(v1alpha1.HostStopped), func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }), nil},
		"deleted":  {web(deleted), []v1alpha1.OperationType{"ForceStop", "Screenshot", "Measure"}},
		"evicted":  {web(func(vm *v1alpha1.VirtualMachine) { vm.Status.Eviction = &v1alpha1.Eviction{} }), []v1alpha1.OperationType{"ForceStop", "Screenshot", "Measure"}},
		"rejected": {web(state(v1alpha1.HostRejected)), nil},
		"started":  {web(func(vm *v1alpha1.VirtualMachine) { vm.Status.Host = nil }), nil},
		"unplaced": {web(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = nil }), nil},
		"once":     {web(func(vm *v1alpha1.VirtualMachine) { vm.Spec.RunPolicy = v1alpha1.RunOnce }), all[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			var got []v1alpha1.OperationType
			for _, kind := range all {
				if refusal(kind, c.vm) == "" {
					got = append(got, kind)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for want, vm := range map[string]*v1alpha1.VirtualMachine{
		"VirtualMachine web is Pending and has no host: wait until it has one; kubectl describe vm -n demo web says what it waits for": web(func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Placement, vm.Status.Phase = nil, v1alpha1.PhasePending
		}),
		"VirtualMachine web is Stopped and has no host: set spec.powerState to Running to start it": web(func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Placement, vm.Status.Phase, vm.Spec.PowerState = nil, v1alpha1.PhaseStopped, v1alpha1.PowerStopped
		}),
		"VirtualMachine web is Invalid and has no host: no host can run it as it is: change its spec: no such machine": web(func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Placement, vm.Status.Phase, vm.Status.Hold = nil, v1alpha1.PhaseInvalid, &v1alpha1.Hold{Generation: vm.Generation, Message: "no such machine"}
		}),
		"VirtualMachine web is Scheduled: its host a has not said yet that the guest runs: wait until its phase is Running": web(func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Host.Epoch, vm.Status.Phase = 2, v1alpha1.PhaseScheduled
		}),
		"spec.powerState of VirtualMachine web is Paused: set it to Running instead, which starts the guest": web(func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.PowerState = v1alpha1.PowerPaused
		}),
		"VirtualMachine web is Rejected on a: wait until it has a host again": web(state(v1alpha1.HostRejected)),
	} {
		if got := refusal(v1alpha1.OperationRestart, vm); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAVMThatHasHadItsOneRunIsNotSaidToBeStartable(t *testing.T) {
	const remedy = "it has run, and spec.runPolicy is Once: create another one, or change its runPolicy"
	once := func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.RunPolicy, vm.Spec.PowerState, vm.Status.Host.StartedAt = v1alpha1.RunOnce, v1alpha1.PowerStopped, &metav1.Time{Time: now}
	}
	for name, vm := range map[string]*v1alpha1.VirtualMachine{
		"stopped":       web(state(v1alpha1.HostStopped), once),
		"ended":         web(state(v1alpha1.HostEnded), once),
		"without place": web(once, func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = nil }),
	} {
		if got := refusal(v1alpha1.OperationReset, vm); !strings.HasSuffix(got, remedy) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestOrder(t *testing.T) {
	named := func(name string, at time.Time, change ...func(*v1alpha1.VirtualMachineOperation)) *v1alpha1.VirtualMachineOperation {
		op := asked(v1alpha1.OperationReset, append(change, created(at))...)
		op.Name = name
		return op
	}
	ops := []*v1alpha1.VirtualMachineOperation{
		named("c", now), named("b", now), named("d", now.Add(-time.Second)), named("a", now.Add(time.Second), given),
	}
	sortOperations(ops)
	var got []string
	for _, op := range ops {
		got = append(got, op.Name)
	}
	if diff := cmp.Diff([]string{"a", "d", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
}
