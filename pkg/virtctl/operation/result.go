package operation

import (
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

// Result returns why an operation that is over is no success, with the exit code
// and the remedy of its reason.
func Result(op *v1alpha1.VirtualMachineOperation) error {
	if op.Status.Phase != v1alpha1.OperationFailed {
		return nil
	}
	vm := op.Spec.VirtualMachineName
	text := fmt.Sprintf("%s of virtualmachine %q failed: %s", op.Spec.Type, vm, op.Status.Reason)
	if message := output.Safe(op.Status.Message); message != "" {
		text += ": " + message
	}
	switch op.Status.Reason {
	case v1alpha1.ReasonVMNotFound:
		return failure.NotFound("%s: see `virtctl get`", text)
	case v1alpha1.ReasonWrongState:
		return failure.Refused("%s: see `virtctl describe %s`", text, vm)
	case v1alpha1.ReasonOperationRefused, v1alpha1.ReasonSnapshotUnusable:
		return failure.Refused("%s", text)
	case v1alpha1.ReasonTimedOut:
		return failure.TimedOut("%s: --timeout gives it longer", text)
	case v1alpha1.ReasonAgentUnavailable:
		return failure.Refused("%s: it needs the QEMU guest agent, running in the guest; `virtctl describe %s` says whether it answers", text, vm)
	case v1alpha1.ReasonHostUnreachable:
		return fmt.Errorf("%s: see `kubectl get hypervisor %s`", text, op.Status.NodeName)
	case v1alpha1.ReasonInterrupted:
		return fmt.Errorf("%s: see whether it took effect, and try again if not", text)
	case v1alpha1.ReasonSuperseded:
		return fmt.Errorf("%s", text)
	case v1alpha1.ReasonBindingEnded:
		return fmt.Errorf("%s: try again: the VM may be on another host now", text)
	}
	return fmt.Errorf("%s", text)
}

// Waiting says what an operation that is not over is at.
func Waiting(op *v1alpha1.VirtualMachineOperation) string {
	message := output.Safe(op.Status.Message)
	if message != "" {
		message = ": " + message
	}
	switch {
	case op.Status.Phase == v1alpha1.OperationRunning:
		return fmt.Sprintf("%s is under way on %s%s", op.Spec.Type, op.Status.NodeName, message)
	case op.Status.NodeName != "":
		return fmt.Sprintf("%s waits for %s%s", op.Spec.Type, op.Status.NodeName, message)
	}
	return fmt.Sprintf("%s waits to be taken up by vm-scheduler%s", op.Spec.Type, message)
}

// Unreachable says whether the operation waits for a host that cannot be reached.
func Unreachable(op *v1alpha1.VirtualMachineOperation) bool {
	return !op.Status.Finished() && op.Status.Reason == v1alpha1.ReasonHostUnreachable
}

func unreachable(op *v1alpha1.VirtualMachineOperation) error {
	return fmt.Errorf("%s of virtualmachine %q is not waited for: %s: see `virtctl describe %s`",
		op.Spec.Type, op.Spec.VirtualMachineName, output.Safe(op.Status.Message), op.Spec.VirtualMachineName)
}

// unanswered is for an operation of which nobody has said, in its time, that it
// is over.
func unanswered(op *v1alpha1.VirtualMachineOperation) error {
	remedy := "is vm-scheduler running? `kubectl get lease -n domus-system vm-scheduler` names its leader and when it was last seen"
	if op.Status.NodeName != "" {
		remedy = fmt.Sprintf("is vm-executor running there? `kubectl get hypervisor %s` says", op.Status.NodeName)
	}
	return failure.TimedOut("%s of virtualmachine %q has not ended in its time: %s: %s", op.Spec.Type, op.Spec.VirtualMachineName, Waiting(op), remedy)
}

func removed(op *v1alpha1.VirtualMachineOperation) error {
	return fmt.Errorf("virtualmachineoperation %s has been deleted before it was over: see `virtctl describe %s` for the VM", op.Name, op.Spec.VirtualMachineName)
}
