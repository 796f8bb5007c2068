package plan

import (
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Request is an operation that starts or ends the guest.
type Request struct {
	UID  types.UID
	Type v1alpha1.OperationType
}

// planOperation decides about a VM that is bound here and of which an operation
// is asked; false when it changes nothing of what is to be done.
//
// ForceStop switches the guest off, whatever else is going on, and is over before
// the guest may be started again: what becomes of it then is decided as of any
// guest that was killed. Restart shuts a guest down that it did not start itself,
// as the domain's mark tells, and starts one that is not there.
func planOperation(in Situation, host *v1alpha1.HostStatus) (Decision, bool) {
	d, op := in.Domain, in.Operation
	if op == nil {
		return Decision{}, false
	}
	active := d != nil && d.State.Active()
	switch {
	case op.Type == v1alpha1.OperationForceStop && active:
		return Decision{Steps: []Step{StepDestroy}, Again: true}, true
	case op.Type == v1alpha1.OperationForceStop:
		o := Succeeded("the guest is switched off")
		return Decision{Outcome: &o, Again: true}, true
	case op.Type != v1alpha1.OperationRestart || RestartBarred(in.VM) != "":
		return Decision{}, false
	case !active && in.Now.Before(in.Memory.RetryAt):
		return waitToRetry(in), true
	case !active:
		return begin(in), true
	case d.Ownership.Operation != op.UID:
		return stop(in, false), true
	}
	decision := run(in, host)
	if d.State == libvirt.StateRunning {
		o := Succeeded("the guest was started with the spec as it is now")
		decision.Outcome = &o
	}
	return decision, true
}
