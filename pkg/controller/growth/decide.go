// Package growth keeps the grants of VMs that change their size while they run
// true to what their hosts say: what a host refuses to give a guest is taken back,
// what a guest has given back is granted no more, and a growth that nobody asks for
// any more waits no longer.
package growth

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/podless"
)

// RefusedFor is how long a host that refused to let a guest grow is not asked for
// the same again.
const RefusedFor = 5 * time.Minute

// next changes s, the status of a VM that is otherwise as vm, into what is due;
// nothing where nothing is. It returns when something else will be, 0 for never.
func next(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, now time.Time) time.Duration {
	takeBack(s, vm, now)
	reclaim(s, vm)
	return say(s, vm, now)
}

// host is what the VM's host says in the present epoch; nil when it says nothing.
func host(s *v1alpha1.VirtualMachineStatus) *v1alpha1.HostStatus {
	if s.Placement == nil || s.Host == nil || s.Host.Epoch != s.Epoch {
		return nil
	}
	return s.Host
}

// takeBack takes back what the host refuses to give the guest.
func takeBack(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, now time.Time) {
	h := host(s)
	if h == nil || h.Refused == nil || h.Refused.Granted != s.Placement.Granted.Size() {
		return
	}
	g, before := &s.Placement.Granted, s.Placement.Granted
	g.CPU, g.Memory = min(g.CPU, h.Refused.Held.CPU), min(g.Memory, h.Refused.Held.Memory)
	if *g == before {
		return // it holds all of it
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionResizePending, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHostRefused,
		Message:            s.Placement.NodeName + " does not let it grow, and is asked again in " + RefusedFor.String() + ": " + h.Refused.Message,
		ObservedGeneration: vm.Generation, LastTransitionTime: metav1.NewTime(now),
	})
	// The time of a condition that was there already would not change.
	meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionResizePending).LastTransitionTime = metav1.NewTime(now).Rfc3339Copy()
}

// reclaim grants no more of its memory what the guest has given back, as its VM
// asks.
func reclaim(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine) {
	h := host(s)
	if h == nil || h.State != v1alpha1.HostRunning || h.Memory == 0 {
		return
	}
	shrunk := capacity.Shrunk(s.Placement, podless.Desired(vm))
	if shrunk.Memory < s.Placement.Granted.Memory && h.Memory <= roundUp(shrunk.Memory) {
		s.Placement.Granted = shrunk
	}
}

// roundUp is so many bytes in whole KiB, as hosts count.
func roundUp(bytes int64) int64 { return (bytes + 1023) &^ 1023 }

// say removes the condition of a growth that is not asked for any more, or is to be
// asked for again, and says what the guest itself is in the way of.
func say(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, now time.Time) time.Duration {
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionResizePending)
	if c != nil && !guests(c.Reason) && wanted(s, vm) {
		refused := c.Reason == v1alpha1.ReasonHostRefused && c.ObservedGeneration == vm.Generation
		if !refused {
			return 0
		}
		if left := c.LastTransitionTime.Add(RefusedFor).Sub(now); left > 0 {
			return left
		}
	}
	if own := ofTheGuest(s, vm); own != nil && !wanted(s, vm) {
		own.LastTransitionTime = metav1.NewTime(now)
		meta.SetStatusCondition(&s.Conditions, *own)
		return 0
	}
	meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionResizePending)
	return 0
}

// wanted says whether the VM, with that status, is to grow, but for a refusal.
func wanted(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine) bool {
	without := vm.DeepCopy()
	without.Status = *s.DeepCopy()
	meta.RemoveStatusCondition(&without.Status.Conditions, v1alpha1.ConditionResizePending)
	if h := without.Status.Host; h != nil {
		h.Refused = nil
	}
	return podless.GrowthOf(without) != nil
}

// concerns says whether there may be something to do about the VM.
func concerns(vm *v1alpha1.VirtualMachine) bool {
	if meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionResizePending) != nil {
		return true
	}
	h := host(&vm.Status)
	return h != nil && (h.Refused != nil || h.Memory != 0 || standsStill(h) && growable(vm.Status.Placement))
}
