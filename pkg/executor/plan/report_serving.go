package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/probes"
)

// markServing says in the status whether the guest serves, where the VM has a probe.
// fresh says that its guest is another one than the status was about. What this process
// has not found out yet stays as it was said.
func markServing(status *v1alpha1.VirtualMachineStatus, in Situation, state v1alpha1.HostState, fresh bool) {
	hasGuest := state == v1alpha1.HostRunning || state == v1alpha1.HostPaused || state == v1alpha1.HostStopping
	if fresh || !hasGuest || in.VM.Spec.ReadinessProbe == nil {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionServing)
	}
	if !hasGuest || in.VM.Spec.ReadinessProbe == nil {
		return
	}
	next := metav1.Condition{
		Type: v1alpha1.ConditionServing, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonProbePending,
		Message:            "spec.readinessProbe has not succeeded yet",
		ObservedGeneration: in.VM.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	}
	before := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionServing)
	switch in.Probe.Verdict {
	case probes.Serves:
		next.Status, next.Reason, next.Message = metav1.ConditionTrue, v1alpha1.ReasonProbeSucceeded, ""
	case probes.Fails:
		next.Reason, next.Message = v1alpha1.ReasonProbeFailed, "spec.readinessProbe: "+in.Probe.Message
	case probes.Unreachable:
		next.Reason, next.Message = v1alpha1.ReasonNoProbeAddress, in.Probe.Message
	default:
		if before != nil && before.Reason != v1alpha1.ReasonNoProbeAddress {
			return
		}
	}
	if before != nil && before.Status == next.Status && before.Reason == next.Reason && before.Message == next.Message {
		return // an edit of something else is no news of this
	}
	meta.SetStatusCondition(&status.Conditions, next)
}
