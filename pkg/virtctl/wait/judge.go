package wait

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

// Verdict is where a VM is on its way to a goal: there, or never to be (Err), or
// Waiting for something.
type Verdict struct {
	Reached bool
	Err     error
	Waiting string
}

// Judge says where vm is on its way to the goal.
func (g Goal) Judge(vm *v1alpha1.VirtualMachine) Verdict {
	switch {
	case g.state == Deleted:
		if vm.DeletionTimestamp == nil {
			return Verdict{Waiting: "nobody has deleted it"}
		}
		return Verdict{Waiting: Reason(vm)}
	case g.met(vm) && g.needsHost(vm) && away.Is(vm):
		return Verdict{Waiting: away.Why(vm)} // as its host said before it was away
	case g.met(vm):
		return Verdict{Reached: true}
	}
	if err := g.impossible(vm); err != nil {
		return Verdict{Err: err}
	}
	return Verdict{Waiting: Reason(vm)}
}

// met says whether vm is as the goal has it.
func (g Goal) met(vm *v1alpha1.VirtualMachine) bool {
	state, reason := guest(vm)
	switch g.state {
	case Running:
		return state == v1alpha1.HostRunning && vm.DeletionTimestamp == nil && vm.Status.Eviction == nil
	case Stopped:
		if vm.Status.Placement == nil {
			return vm.Spec.PowerState == v1alpha1.PowerStopped
		}
		// A report from before the VM was asked to stop, or to start, does not
		// count; without a guest the host reports each generation it has read.
		return (state == v1alpha1.HostStopped || state == v1alpha1.HostEnded) && vm.Status.ObservedGeneration >= vm.Generation
	case Paused:
		return state == v1alpha1.HostPaused && reason != v1alpha1.ReasonDiskFull && reason != v1alpha1.ReasonStarting
	case Suspended:
		return state == v1alpha1.HostSuspended
	case condition:
		status := metav1.ConditionUnknown
		if g.condition == v1alpha1.ConditionHostReachable && vm.Status.Placement != nil {
			status = metav1.ConditionTrue // it is there to say the opposite
		}
		if c := meta.FindStatusCondition(vm.Status.Conditions, g.condition); c != nil {
			status = c.Status
		}
		return status == g.status
	}
	return false
}

// impossible says why vm will not come to the goal unless somebody does
// something about it, and what. A VM that no host has room for may get there.
func (g Goal) impossible(vm *v1alpha1.VirtualMachine) error {
	name, power := vm.Name, vm.Spec.PowerState
	if vm.DeletionTimestamp != nil && g.needsGuest() {
		return failure.Refused("virtualmachine %q is being deleted: create it anew when it is gone (`virtctl wait %s --for=deleted`)", name, name)
	}
	state, _ := guest(vm)
	switch want := g.power(); {
	case want == "":
		return nil
	case want == v1alpha1.PowerStopped:
		if power == v1alpha1.PowerRunning && vm.Spec.RunPolicy != v1alpha1.RunAlways && vm.Spec.RunPolicy != "" {
			return nil // the guest may end by itself
		}
		if power != v1alpha1.PowerStopped {
			return failure.Refused("virtualmachine %q is asked to be %s: `virtctl stop %s`", name, power, name)
		}
		return nil
	case power != want && power != "":
		return failure.Refused("virtualmachine %q is asked to be %s, not %s: `virtctl %s %s`", name, power, want, verbs[want], name)
	}
	if hold := vm.Status.Hold; hold != nil && hold.Generation >= vm.Generation {
		return Held(vm)
	}
	// Without a host or a guest there is nothing to pause, and none is started for it.
	without := vm.Status.Placement == nil ||
		(state == v1alpha1.HostStopped || state == v1alpha1.HostEnded) && vm.Status.ObservedGeneration >= vm.Generation
	switch {
	case g.power() != v1alpha1.PowerRunning && without:
		return failure.Refused("virtualmachine %q has no guest that could be %s: `virtctl start %s` first", name, g.state, name)
	case g.power() == v1alpha1.PowerRunning && RunOver(vm):
		return RanOnce(name)
	case g.power() == v1alpha1.PowerRunning && state == v1alpha1.HostEnded && vm.Status.ObservedGeneration >= vm.Generation:
		return failure.Refused("the guest of virtualmachine %q has ended, and runPolicy %s leaves it off%s: `virtctl start %s`", name, vm.Spec.RunPolicy, said(vm), name)
	}
	return nil
}

// RunOver says whether the VM is for one run, and has had it: no guest of it is
// there, nor memory of one that would go on.
func RunOver(vm *v1alpha1.VirtualMachine) bool {
	switch state, reason := guest(vm); state {
	case v1alpha1.HostEnded:
		return vm.Spec.RunPolicy == v1alpha1.RunOnce
	case v1alpha1.HostStopped:
		return vm.RanOnce() && reason != v1alpha1.ReasonStarting
	case "", v1alpha1.HostGone:
		return vm.RanOnce()
	}
	return false
}

// Held refuses what needs a guest of a VM whose spec no host can run.
func Held(vm *v1alpha1.VirtualMachine) error {
	return failure.Refused("no host can run virtualmachine %q as it is: %s: change its spec, and it is tried again", vm.Name, output.Safe(vm.Status.Hold.Message))
}

// RanOnce refuses to start a VM a second time.
func RanOnce(name string) error {
	return failure.Refused("virtualmachine %q is for one run (spec.runPolicy Once), and never started a second time: create another one, or change its runPolicy", name)
}

// verbs lead to power states.
var verbs = map[v1alpha1.PowerState]string{
	v1alpha1.PowerRunning: "start", v1alpha1.PowerStopped: "stop", v1alpha1.PowerPaused: "pause", v1alpha1.PowerSuspended: "suspend",
}

// power is the power state that leads to the goal, if one does.
func (g Goal) power() v1alpha1.PowerState {
	switch g.state {
	case Running:
		return v1alpha1.PowerRunning
	case Stopped:
		return v1alpha1.PowerStopped
	case Paused:
		return v1alpha1.PowerPaused
	case Suspended:
		return v1alpha1.PowerSuspended
	case condition:
		if g.condition == v1alpha1.ConditionReady && g.status == metav1.ConditionTrue {
			return v1alpha1.PowerRunning
		}
	}
	return ""
}

// needsHost says whether what is known of the goal is what the VM's host says.
func (g Goal) needsHost(vm *v1alpha1.VirtualMachine) bool {
	if g.state == condition {
		return g.condition != v1alpha1.ConditionScheduled && g.condition != v1alpha1.ConditionHostReachable
	}
	return vm.Status.Placement != nil
}

// needsGuest says whether the goal is one of a VM that stays.
func (g Goal) needsGuest() bool {
	power := g.power()
	return power != "" && power != v1alpha1.PowerStopped
}

// guest is what the VM's host says of the guest in this binding; "" when it has
// not said anything yet, or there is no host.
func guest(vm *v1alpha1.VirtualMachine) (v1alpha1.HostState, string) {
	host := vm.Status.Host
	if vm.Status.Placement == nil || host == nil || host.Epoch != vm.Status.Epoch {
		return "", ""
	}
	return host.State, host.Reason
}

// HasGuest says whether the VM has a guest on a host now.
func HasGuest(vm *v1alpha1.VirtualMachine) bool {
	switch state, _ := guest(vm); state {
	case v1alpha1.HostRunning, v1alpha1.HostPaused, v1alpha1.HostStopping:
		return true
	}
	return false
}

// GuestState returns what the VM's host says of the guest in this binding; "" when
// there is no host, or it has not said anything yet.
func GuestState(vm *v1alpha1.VirtualMachine) v1alpha1.HostState {
	state, _ := guest(vm)
	return state
}
