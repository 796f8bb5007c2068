// Package operation hands VirtualMachineOperations to the hosts of their VMs,
// one at a time for each VM and the oldest first, refuses what cannot be done,
// ends what took too long or is overtaken by a ForceStop, and removes what has been
// over for a while, or whose VM is gone. Carrying them out is the executors'.
package operation

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// patience is how long a host that can be reached has, after the time limit,
	// to say itself that it has passed.
	patience = 30 * time.Second
	// defaultTimeout and defaultTTL are the defaults of spec.timeoutSeconds and
	// spec.ttlSecondsAfterFinished.
	defaultTimeout = 300 * time.Second
	defaultTTL     = time.Hour
)

// situation is all that decide decides by.
type situation struct {
	operation *v1alpha1.VirtualMachineOperation
	// ahead is an operation of the same VM that comes first; nil when none does.
	ahead *v1alpha1.VirtualMachineOperation
	// plug is the first ForceStop of the VM that is not over; nil when there is none.
	plug *v1alpha1.VirtualMachineOperation
	// vm is nil when there is none of that name.
	vm *v1alpha1.VirtualMachine
	// silence says why the host that is to do it cannot be reached; "" when it can.
	silence string
	now     time.Time
}

// decision is what to do now.
type decision struct {
	// remove deletes the operation.
	remove bool
	// own makes the operation the VM's, before status is written.
	own bool
	// status is to be written; nil leaves it as it is.
	status *v1alpha1.VirtualMachineOperationStatus
	// after, when positive, asks for another look then.
	after time.Duration
}

// order sorts operations of one VM into the order in which they are done: what a
// host has been given already, then by age, and by name within a second.
func order(a, b *v1alpha1.VirtualMachineOperation) int {
	given := func(o *v1alpha1.VirtualMachineOperation) int {
		if o.Status.NodeName != "" {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(given(a), given(b)), byAge(a, b))
}

func byAge(a, b *v1alpha1.VirtualMachineOperation) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// sortOperations puts them in order.
func sortOperations(ops []*v1alpha1.VirtualMachineOperation) { slices.SortFunc(ops, order) }

// decide is pure.
func decide(in situation) decision {
	op := in.operation
	switch {
	case op.DeletionTimestamp != nil:
		return decision{}
	case op.Status.Finished():
		return collect(in)
	case overtaken(in):
		return supersede(in)
	case op.Status.NodeName != "":
		return follow(in)
	}
	return assign(in)
}

// collect removes an operation that has been over for long enough, or whose VM is
// gone: where there is no garbage collector nobody else does.
func collect(in situation) decision {
	op := in.operation
	if uid := askedOf(op); uid != "" && (in.vm == nil || in.vm.UID != uid) {
		return decision{remove: true}
	}
	finished := op.CreationTimestamp.Time
	if op.Status.FinishedAt != nil {
		finished = op.Status.FinishedAt.Time
	}
	if left := finished.Add(seconds(op.Spec.TTLSecondsAfterFinished, defaultTTL)).Sub(in.now); left > 0 {
		return decision{after: left}
	}
	return decision{remove: true}
}

// assign decides about an operation that no host has been given.
func assign(in situation) decision {
	op, vm := in.operation, in.vm
	left := limit(op).Sub(in.now)
	switch {
	case vm == nil:
		return fail(in, v1alpha1.ReasonVMNotFound, fmt.Sprintf(
			"there is no VirtualMachine %s in namespace %s: see kubectl get vm --namespace %s", op.Spec.VirtualMachineName, op.Namespace, op.Namespace))
	case another(op, vm):
		return fail(in, v1alpha1.ReasonVMNotFound, fmt.Sprintf(
			"VirtualMachine %s was created after this was asked of it: create the operation anew if it is meant for the present one", vm.Name))
	case left <= 0:
		waited := "vm-scheduler to assign it to a host"
		switch {
		case in.ahead != nil:
			waited = fmt.Sprintf("operation %s (%s) to end", in.ahead.Name, in.ahead.Spec.Type)
		case in.silence != "":
			waited = "the host: " + in.silence
		}
		return timeOut(in, waited)
	case in.ahead != nil:
		return decision{after: left}
	case op.Spec.Type == v1alpha1.OperationForceStop && off(vm):
		return succeed(in, "the guest is off already")
	}
	if why := refusal(op.Spec.Type, vm); why != "" {
		return fail(in, v1alpha1.ReasonWrongState, why)
	}
	if in.silence != "" {
		return await(in, left)
	}
	return decision{
		own: !owned(op, vm),
		status: &v1alpha1.VirtualMachineOperationStatus{
			Phase: v1alpha1.OperationPending, NodeName: vm.Status.Placement.NodeName,
			VirtualMachineUID: string(vm.UID), Epoch: vm.Status.Epoch,
		},
		after: left,
	}
}

// follow decides about an operation that a host has been given.
func follow(in situation) decision {
	op, vm := in.operation, in.vm
	left := limit(op).Sub(in.now)
	switch {
	case vm == nil || string(vm.UID) != op.Status.VirtualMachineUID:
		return fail(in, v1alpha1.ReasonBindingEnded, "the VirtualMachine was deleted before "+op.Status.NodeName+" said how it went")
	case op.Spec.Type == v1alpha1.OperationRestart && vm.Status.Epoch > op.Status.Epoch:
		return followElsewhere(in, left)
	case op.Spec.Type == v1alpha1.OperationForceStop && vm.Status.Epoch > op.Status.Epoch && vm.Status.Placement == nil:
		return succeed(in, "the guest was ended, and the VirtualMachine gave its place on "+op.Status.NodeName+" back")
	case vm.Status.Epoch != op.Status.Epoch || !vm.PlacedOn(op.Status.NodeName):
		return fail(in, v1alpha1.ReasonBindingEnded,
			"the VirtualMachine left "+op.Status.NodeName+" before that said how it went: create the operation anew when it has another host")
	case left <= 0 && in.silence != "":
		return timeOut(in, op.Status.NodeName+" to say how it went: "+in.silence)
	case left+patience <= 0:
		return timeOut(in, op.Status.NodeName+" to say how it went: see the log of its vm-executor")
	case in.silence != "":
		return await(in, left)
	case left <= 0:
		return decision{after: left + patience}
	}
	return decision{after: left}
}

// followElsewhere decides about a restart whose VM has left the host that began
// it: since it asks for another size by now, for one, and is placed anew. The
// restart is done when a guest of its new binding runs.
func followElsewhere(in situation, left time.Duration) decision {
	vm := in.vm
	host := vm.Status.Host
	switch {
	case host != nil && vm.Status.Placement != nil && host.Epoch == vm.Status.Epoch && host.State == v1alpha1.HostRunning:
		return succeed(in, "the guest was started on "+vm.Status.Placement.NodeName+", where the VirtualMachine was placed anew, with the spec as it is now")
	case vm.DeletionTimestamp != nil:
		return fail(in, v1alpha1.ReasonWrongState, "the VirtualMachine is being deleted")
	case vm.Spec.PowerState != "" && vm.Spec.PowerState != v1alpha1.PowerRunning:
		return fail(in, v1alpha1.ReasonWrongState, fmt.Sprintf("spec.powerState is %s by now", vm.Spec.PowerState))
	case left <= 0:
		return timeOut(in, "the VirtualMachine, which left "+in.operation.Status.NodeName+", to run again: "+whyNot(vm))
	}
	return decision{after: left}
}

// whyNot says why a VM does not run, as its conditions do.
func whyNot(vm *v1alpha1.VirtualMachine) string {
	for _, kind := range []string{v1alpha1.ConditionScheduled, v1alpha1.ConditionReady} {
		if c := meta.FindStatusCondition(vm.Status.Conditions, kind); c != nil && c.Status != metav1.ConditionTrue {
			return c.Reason + ": " + c.Message
		}
	}
	return "it is on its way"
}

// await says that the host is waited for, once.
func await(in situation, left time.Duration) decision {
	message := "waiting for the host: " + in.silence
	s := in.operation.Status
	if s.Reason == v1alpha1.ReasonHostUnreachable && s.Message == message {
		return decision{after: left}
	}
	s.Phase = phase(s)
	s.Reason, s.Message = v1alpha1.ReasonHostUnreachable, message
	return decision{status: &s, after: left}
}

// overtaken says whether a ForceStop goes before the operation, which came first.
// It overtakes nothing while it cannot be done itself.
func overtaken(in situation) bool {
	op, plug, vm := in.operation, in.plug, in.vm
	switch {
	case plug == nil || vm == nil || op.Spec.Type == v1alpha1.OperationForceStop || another(op, vm) || another(plug, vm):
		return false
	case op.Status.NodeName == "" && byAge(op, plug) > 0:
		return false // it is asked for after the plug was pulled
	case plug.Status.NodeName != "":
		return true
	}
	return in.silence == "" && limit(plug).After(in.now) && (off(vm) || refusal(plug.Spec.Type, vm) == "")
}

// supersede ends an operation that is overtaken, and says whether it was begun.
func supersede(in situation) decision {
	begun := "it was not begun"
	if node := in.operation.Status.NodeName; node != "" {
		begun = node + " may have begun it, and whether it took effect is not known"
	}
	return fail(in, v1alpha1.ReasonSuperseded, fmt.Sprintf("operation %s (%s) was asked for, which waits for no other: %s; ask again if it is still wanted",
		in.plug.Name, in.plug.Spec.Type, begun))
}

// off says whether the VM has no guest, and none is about to be started.
func off(vm *v1alpha1.VirtualMachine) bool {
	p, host := vm.Status.Placement, vm.Status.Host
	stays := vm.Spec.PowerState != v1alpha1.PowerRunning && vm.Spec.PowerState != ""
	switch {
	case p == nil:
		return stays
	case host == nil || host.Epoch != vm.Status.Epoch:
		return false
	}
	return host.State == v1alpha1.HostEnded || host.State == v1alpha1.HostStopped && stays
}

func timeOut(in situation, waited string) decision {
	return fail(in, v1alpha1.ReasonTimedOut, fmt.Sprintf("%s passed while waiting for %s", timeout(in.operation), waited))
}

func fail(in situation, reason, message string) decision {
	return end(in, v1alpha1.OperationFailed, reason, message)
}

func succeed(in situation, message string) decision {
	return end(in, v1alpha1.OperationSucceeded, "", message)
}

// end has the operation be over. It keeps of which VM it was asked, by which it is
// known when that is gone.
func end(in situation, phase v1alpha1.OperationPhase, reason, message string) decision {
	s := in.operation.Status
	at := metav1.NewTime(in.now.Truncate(time.Second))
	s.Phase, s.Reason, s.Message, s.FinishedAt = phase, reason, message, &at
	if s.VirtualMachineUID == "" && in.vm != nil && !another(in.operation, in.vm) {
		s.VirtualMachineUID = string(in.vm.UID)
	}
	return decision{status: &s}
}

// phase is the operation's, which is Pending when nothing was written.
func phase(s v1alpha1.VirtualMachineOperationStatus) v1alpha1.OperationPhase {
	return cmp.Or(s.Phase, v1alpha1.OperationPending)
}

// another says whether the VM is not the one that the operation was asked of.
func another(op *v1alpha1.VirtualMachineOperation, vm *v1alpha1.VirtualMachine) bool {
	for _, o := range op.OwnerReferences {
		if o.Kind == virtualMachineKind && o.Name == vm.Name && o.UID != vm.UID {
			return true
		}
	}
	return op.CreationTimestamp.Before(&vm.CreationTimestamp)
}

// askedOf is the UID of the VM that the operation was asked of; "" when that is not
// known.
func askedOf(op *v1alpha1.VirtualMachineOperation) types.UID {
	if uid := op.Status.VirtualMachineUID; uid != "" {
		return types.UID(uid)
	}
	for _, o := range op.OwnerReferences {
		if o.Kind == virtualMachineKind {
			return o.UID
		}
	}
	return ""
}

func owned(op *v1alpha1.VirtualMachineOperation, vm *v1alpha1.VirtualMachine) bool {
	return slices.ContainsFunc(op.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == vm.UID })
}

func limit(op *v1alpha1.VirtualMachineOperation) time.Time {
	return op.CreationTimestamp.Add(timeout(op))
}

func timeout(op *v1alpha1.VirtualMachineOperation) time.Duration {
	return seconds(op.Spec.TimeoutSeconds, defaultTimeout)
}

func seconds(s *int32, otherwise time.Duration) time.Duration {
	if s == nil {
		return otherwise
	}
	return time.Duration(*s) * time.Second
}
