// Package release ends a binding when the host says that nothing of the VM is
// left there: it clears the placement and lets the epoch grow, in one write.
package release

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ExcludeFor is how long a host that refused a VM is not chosen for it again.
const ExcludeFor = 5 * time.Minute

// maxExcluded bounds status.excludedHosts, as its schema does; the oldest go first.
const maxExcluded = 16

// due says whether the host has said, in this epoch, that it holds nothing of
// the VM any more.
func due(vm *v1alpha1.VirtualMachine) bool {
	h := vm.Status.Host
	return vm.Status.Placement != nil && vm.DeletionTimestamp == nil && h != nil && h.Epoch == vm.Status.Epoch &&
		(h.State == v1alpha1.HostRejected || h.State == v1alpha1.HostGone)
}

// next changes s, the VM's, into the status after the release. It keeps what the
// host said, for people to read.
func next(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, now time.Time) {
	host, node := *s.Host, s.Placement.NodeName
	s.Epoch++
	s.Placement = nil
	s.Eviction = nil
	s.NominatedNodeName = ""
	s.Phase = v1alpha1.PhasePending
	meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionHostReachable)
	meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionResizePending)

	condition := metav1.Condition{
		Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse,
		ObservedGeneration: vm.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	switch {
	case host.State == v1alpha1.HostGone && host.Reason == v1alpha1.ReasonReleased:
		s.Phase = restingPhase(vm)
		condition.Reason, condition.Message = v1alpha1.ReasonReleased, "stopped, and its place on "+node+" given back, as spec.whenStopped says; "+rests(vm)
	case host.State == v1alpha1.HostGone && host.Reason == v1alpha1.ReasonResizeNeedsPlacement:
		// Its disks may be there: the scheduler tries this host before all others.
		s.NominatedNodeName = node
		condition.Reason, condition.Message = host.Reason, "gave up its place on "+node+", since it asks for another one by now; waiting for a host"
	case host.State == v1alpha1.HostGone:
		s.Phase = restingPhase(vm)
		condition.Reason, condition.Message = v1alpha1.ReasonPreempted, "evicted from "+node+" to make room for a VirtualMachine of higher priority; "+rests(vm)
	case host.Reason == v1alpha1.ReasonInvalidDomain:
		// The spec that the host judged is the one it had seen.
		judged := s.ObservedGeneration
		s.Hold = &v1alpha1.Hold{Generation: judged, Reason: host.Reason, Message: host.Message}
		s.Phase = v1alpha1.PhaseInvalid
		condition.Reason, condition.Message = v1alpha1.ReasonInvalidDomain, host.Message
	default:
		until := metav1.NewTime(now.Add(ExcludeFor)).Rfc3339Copy()
		s.ExcludedHosts = exclude(s.ExcludedHosts, v1alpha1.HostExclusion{NodeName: node, Message: host.Message, Until: until})
		condition.Reason, condition.Message = v1alpha1.ReasonHostRejected, node+" refused it: "+host.Message
	}
	meta.SetStatusCondition(&s.Conditions, condition)
}

// restingPhase is the phase of a VM that was stopped and gave its place up.
func restingPhase(vm *v1alpha1.VirtualMachine) v1alpha1.Phase {
	switch {
	case vm.Spec.PowerState != v1alpha1.PowerRunning && vm.Spec.PowerState != "":
		return v1alpha1.PhaseStopped // whatever its guest was, it is no more
	case vm.RanOnce():
		return v1alpha1.PhaseEnded
	}
	return v1alpha1.PhasePending
}

// rests says what becomes of the VM now.
func rests(vm *v1alpha1.VirtualMachine) string {
	switch {
	case vm.RanOnce():
		return "spec.runPolicy Once: it has run and is not started again, unless spec.runPolicy is changed"
	case vm.Spec.PowerState == v1alpha1.PowerRunning, vm.Spec.PowerState == "":
		return "waiting for a host"
	}
	return "set spec.powerState to Running to have it placed and started"
}

// exclude returns hosts with h in place of an earlier exclusion of its node.
func exclude(hosts []v1alpha1.HostExclusion, h v1alpha1.HostExclusion) []v1alpha1.HostExclusion {
	out := slices.DeleteFunc(slices.Clone(hosts), func(e v1alpha1.HostExclusion) bool { return e.NodeName == h.NodeName })
	out = append(out, h)
	if extra := len(out) - maxExcluded; extra > 0 {
		out = out[extra:]
	}
	return out
}
