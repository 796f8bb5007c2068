package podless

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/metrics"
)

// ProfileOf is the name of the profile that a projected Pod's VM chose, and the
// purpose of placing it, as metrics have them.
func ProfileOf(pod *corev1.Pod) (profile, purpose string) {
	if IsGrowth(pod.Name) {
		return trimGrowth(pod.Spec.SchedulerName), metrics.PurposeGrow
	}
	return pod.Spec.SchedulerName, metrics.PurposePlace
}

// attempted counts an attempt that bound no Pod. verdict is that of its Reason.
func attempted(pod *corev1.Pod, status *fwk.Status, verdict string) {
	profile, purpose := ProfileOf(pod)
	result, reason := outcome(status, verdict)
	metrics.Attempted(profile, purpose, result, reason)
}

// outcome puts what the scheduler says into one of few words.
func outcome(status *fwk.Status, verdict string) (result, reason string) {
	err := status.AsError()
	var fit *framework.FitError
	switch {
	case errors.As(err, &fit) && verdict != "":
		return metrics.ResultUnschedulable, metrics.ReasonNoHostEver
	case errors.As(err, &fit):
		return metrics.ResultUnschedulable, metrics.ReasonNoRoom
	case errors.Is(err, scheduler.ErrNoNodesAvailable):
		return metrics.ResultUnschedulable, metrics.ReasonNoHosts
	case status.IsRejected():
		return metrics.ResultUnschedulable, metrics.ReasonGroup
	}
	return metrics.ResultError, metrics.ReasonSchedulerError
}
