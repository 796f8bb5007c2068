package wait

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/output"
)

// Reason says what the VM is waiting for right now, in one line, and "" when it
// is as its spec asks.
func Reason(vm *v1alpha1.VirtualMachine) string {
	status := &vm.Status
	if vm.DeletionTimestamp != nil {
		if status.Placement == nil {
			return fmt.Sprintf("is being deleted; waits for its finalizers %v", vm.Finalizers)
		}
		if why := away.Why(vm); why != "" {
			return "is being deleted; " + why
		}
		return fmt.Sprintf("is being deleted; %s is to end its guest%s", status.Placement.NodeName, said(vm))
	}
	if status.Placement == nil {
		return unplaced(vm)
	}
	if why := away.Why(vm); why != "" {
		return why
	}
	host := status.Placement.NodeName
	if status.Eviction != nil {
		return fmt.Sprintf("%s ends the guest to give its place up%s", host, because(status.Eviction.Reason, status.Eviction.Message))
	}
	state, _ := guest(vm)
	switch {
	case state == "":
		return fmt.Sprintf("%s has not taken it up yet", host)
	case settled[vm.Spec.PowerState] == state:
		return ""
	case state == v1alpha1.HostEnded:
		return "the guest has ended" + said(vm)
	case state == v1alpha1.HostStopping:
		return fmt.Sprintf("the guest has been asked to shut down%s", said(vm))
	case state == v1alpha1.HostFailed:
		return fmt.Sprintf("%s tries again%s", host, said(vm))
	case state == v1alpha1.HostRejected:
		return fmt.Sprintf("%s will not run it%s", host, said(vm))
	case state == v1alpha1.HostGone:
		return fmt.Sprintf("%s has given it up%s", host, said(vm))
	}
	return fmt.Sprintf("%s says %s%s; is asked to be %s", host, state, said(vm), vm.Spec.PowerState)
}

// settled is what a host says of a guest that is as its power state asks.
var settled = map[v1alpha1.PowerState]v1alpha1.HostState{
	"":                      v1alpha1.HostRunning,
	v1alpha1.PowerRunning:   v1alpha1.HostRunning,
	v1alpha1.PowerStopped:   v1alpha1.HostStopped,
	v1alpha1.PowerPaused:    v1alpha1.HostPaused,
	v1alpha1.PowerSuspended: v1alpha1.HostSuspended,
}

// unplaced says why a VM has no host.
func unplaced(vm *v1alpha1.VirtualMachine) string {
	if vm.Spec.PowerState == v1alpha1.PowerStopped {
		return ""
	}
	if node := vm.Status.NominatedNodeName; node != "" {
		return "room is being made on " + node
	}
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
	if c == nil || c.Status != metav1.ConditionFalse {
		return fmt.Sprintf("waits for %s to choose a host", scheduler(vm))
	}
	return "has no host" + because(c.Reason, c.Message)
}

func scheduler(vm *v1alpha1.VirtualMachine) string {
	if vm.Spec.SchedulerName == "" {
		return v1alpha1.DefaultSchedulerName
	}
	return vm.Spec.SchedulerName
}

// said is what the host adds to the guest's state.
func said(vm *v1alpha1.VirtualMachine) string {
	host := vm.Status.Host
	if host == nil || host.Epoch != vm.Status.Epoch {
		return ""
	}
	return because(host.Reason, host.Message)
}

func because(reason, message string) string {
	switch message = output.Safe(message); {
	case reason == "" && message == "":
		return ""
	case message == "":
		return ": " + reason
	case reason == "":
		return ": " + message
	}
	return ": " + reason + ": " + message
}
