package plan

import (
	"cmp"
	"fmt"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// LibvirtPoll is how often it is looked whether libvirt is back.
const LibvirtPoll = 2 * time.Second

// trait is how a type of operation is carried out.
type trait struct {
	// once: doing it twice is not doing it once. That it is begun is written first,
	// and after a crash it is not done again.
	once bool
	// slow: that it is begun is written for people to see.
	slow bool
	// inTurn: it starts or ends the guest, which is for the VM's turn to do.
	inTurn bool
}

var traits = map[v1alpha1.OperationType]trait{
	v1alpha1.OperationRestart:      {slow: true, inTurn: true},
	v1alpha1.OperationReset:        {once: true},
	v1alpha1.OperationForceStop:    {inTurn: true},
	v1alpha1.OperationSendKey:      {once: true},
	v1alpha1.OperationScreenshot:   {},
	v1alpha1.OperationSetPassword:  {},
	v1alpha1.OperationInjectSSHKey: {},
	v1alpha1.OperationMeasure:      {},
	v1alpha1.OperationRestore:      {slow: true, inTurn: true},
}

// InTurn says whether operations of the type start or end the guest, which is for the
// VM's turn to do.
func InTurn(t v1alpha1.OperationType) bool { return traits[t].inTurn }

// KnowsOperation says whether this executor knows the type of operation.
func KnowsOperation(t v1alpha1.OperationType) bool { _, known := traits[t]; return known }

// OperationSituation is all that DecideOperation decides by.
type OperationSituation struct {
	// operation and vm are as the API server has them; vm is nil when there is
	// none.
	Operation *v1alpha1.VirtualMachineOperation
	VM        *v1alpha1.VirtualMachine
	// begun says that this process began it, and result how it went.
	Begun  bool
	Result *Outcome
	// connected says that libvirt answers.
	Connected bool
	// since is when this process started.
	Since, Now time.Time
}

// OperationDecision is what to do about an operation now.
type OperationDecision struct {
	// outcome is to be written, and the operation is over.
	Outcome *Outcome
	// act carries it out, in the VM's turn or beside it; begin says first that it
	// is under way.
	Act, Begin, InTurn bool
	// after, when positive, asks for another look then.
	After time.Duration
}

// DecideOperation is pure.
func DecideOperation(in OperationSituation) OperationDecision {
	op, vm := in.Operation, in.VM
	kind, known := traits[op.Spec.Type]
	left := OperationLimit(op).Sub(in.Now)
	running := op.Status.Phase == v1alpha1.OperationRunning
	switch {
	case in.Result != nil:
		return OperationDecision{Outcome: in.Result}
	case !known:
		return concluded(v1alpha1.ReasonOperationRefused, "this vm-executor does not know operations of type %s: install one as new as the CustomResourceDefinition", op.Spec.Type)
	case kind.once && running && !in.Begun:
		return concluded(v1alpha1.ReasonInterrupted,
			"vm-executor ended while it was at it: whether it took effect is not known, and it is not done a second time by itself; look at the guest before asking again")
	case vm == nil || string(vm.UID) != op.Status.VirtualMachineUID:
		return concluded(v1alpha1.ReasonBindingEnded, "the VirtualMachine was deleted before it was done")
	case op.Spec.Type == v1alpha1.OperationRestart && (!IsFor(op, vm) || Ended(HostStatus(vm))):
		// Wherever the VM goes from here, its guest is started anew there: that is
		// for vm-scheduler to see.
		return OperationDecision{}
	case !IsFor(op, vm):
		return concluded(v1alpha1.ReasonBindingEnded, "the VirtualMachine left %s before it was done: create the operation anew when it has another host", op.Status.NodeName)
	case left <= 0:
		return concluded(v1alpha1.ReasonTimedOut, "%s passed while waiting for %s", operationTimeout(op), waitedFor(in))
	case op.Spec.Type == v1alpha1.OperationRestart && RestartBarred(vm) != "":
		return concluded(v1alpha1.ReasonWrongState, "%s", RestartBarred(vm))
	case !in.Connected:
		return OperationDecision{After: min(left, LibvirtPoll)}
	}
	return OperationDecision{Act: true, Begin: (kind.once || kind.slow) && !running, InTurn: kind.inTurn, After: left}
}

func concluded(reason, format string, args ...any) OperationDecision {
	o := Failed(reason, format, args...)
	return OperationDecision{Outcome: &o}
}

// RestartBarred says why the VM's guest is not to be restarted; "" when it may.
func RestartBarred(vm *v1alpha1.VirtualMachine) string {
	switch {
	case vm.DeletionTimestamp != nil:
		return "the VirtualMachine is being deleted"
	case vm.Status.Eviction != nil:
		return "the VirtualMachine is being evicted: wait until it has a host again"
	case cmp.Or(vm.Spec.PowerState, v1alpha1.PowerRunning) != v1alpha1.PowerRunning:
		return fmt.Sprintf("spec.powerState is %s: set it to Running instead, which starts the guest", vm.Spec.PowerState)
	case vm.Spec.RunPolicy == v1alpha1.RunOnce:
		return "spec.runPolicy is Once: the guest is never started a second time"
	case Ended(HostStatus(vm)):
		return "the host gave the VirtualMachine up"
	}
	return ""
}

// waitedFor says what an operation waits for.
func waitedFor(in OperationSituation) string {
	host := HostStatus(in.VM)
	op := in.Operation
	switch {
	case !OperationLimit(op).After(in.Since):
		return "the vm-executor of " + op.Status.NodeName + ", which was not running"
	case !in.Connected && op.CreationTimestamp.Time.Before(in.Since):
		return fmt.Sprintf("the vm-executor of %s, which was not running until %s, and for libvirt there, which has not answered it since",
			op.Status.NodeName, in.Since.UTC().Format(time.TimeOnly+" MST"))
	case !in.Connected:
		return "libvirt on " + op.Status.NodeName + ", which does not answer"
	case !traits[op.Spec.Type].inTurn:
		return "another operation of the VirtualMachine to end"
	case host == nil:
		return "the guest to be started"
	case host.State == v1alpha1.HostStopping:
		return "the guest to shut down: " + host.Message + "; it is switched off after spec.terminationGracePeriodSeconds"
	case host.State == v1alpha1.HostFailed, host.Reason == v1alpha1.ReasonWaitingForNetworks, host.Reason == v1alpha1.ReasonWaitingForDisks:
		return "the guest to start: " + host.Message
	}
	return fmt.Sprintf("the guest to be switched off or started: libvirt on %s is slow to do it", op.Status.NodeName)
}

// defaultOperationTimeout is the default of spec.timeoutSeconds.
const defaultOperationTimeout = 300 * time.Second

func operationTimeout(op *v1alpha1.VirtualMachineOperation) time.Duration {
	if s := op.Spec.TimeoutSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultOperationTimeout
}

// OperationLimit is when the operation has failed if it is not over.
func OperationLimit(op *v1alpha1.VirtualMachineOperation) time.Time {
	return op.CreationTimestamp.Add(operationTimeout(op))
}

// CompareNames orders operations by name.
func CompareNames(x, y *v1alpha1.VirtualMachineOperation) int { return cmp.Compare(x.Name, y.Name) }

// IsFor says whether the operation was assigned to the VM's present binding.
func IsFor(op *v1alpha1.VirtualMachineOperation, vm *v1alpha1.VirtualMachine) bool {
	return string(vm.UID) == op.Status.VirtualMachineUID && vm.Status.Epoch == op.Status.Epoch && vm.PlacedOn(op.Status.NodeName)
}
