package podless

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/metrics"
)

// recorder records events about projected Pods on their VirtualMachines.
type recorder struct {
	events.EventRecorderLogger
	said   *sayings
	placed PlacedEvents
}

// PlacedEvents says whether one more event that a VM was placed may be written
// now. Nobody reads thousands of them, each costs a fifth of what the binding
// does, and the condition Scheduled says the same.
type PlacedEvents interface {
	// TryAccept never waits.
	TryAccept() bool
}

// newRecorder wraps r so that events about projected Pods name their VMs and say
// why these wait in the words of said; those that say only that all went well
// are written as far as placed allows.
func newRecorder(r events.EventRecorderLogger, said *sayings, placed PlacedEvents) events.EventRecorderLogger {
	return &recorder{EventRecorderLogger: r, said: said, placed: placed}
}

// reasonScheduled is kube-scheduler's for a Pod that was bound.
const reasonScheduled = "Scheduled"

// reasonGrowthGranted is for a VM whose host has room for what it asks for more.
const reasonGrowthGranted = "GrowthGranted"

// Eventf implements events.EventRecorder.
func (r *recorder) Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any) {
	if reason == reasonScheduled && eventType == corev1.EventTypeNormal && !r.placed.TryAccept() {
		metrics.PlacedEventDropped()
		return
	}
	// The scheduler names the preemptor by its UID, which nobody knows.
	if preemptor, ok := related.(podLike); ok && reason == "Preempted" {
		switch {
		case IsProjected(preemptor.GetName()):
			note, args = "Evicted to make room for VirtualMachine %s/%s, which has a higher priority", []any{preemptor.GetNamespace(), VMName(preemptor.GetName())}
		case isGroup(related):
			note, args = "Evicted to make room for the VirtualMachines of PodGroup %s/%s, which have a higher priority", []any{preemptor.GetNamespace(), preemptor.GetName()}
		}
	}
	if pod, ok := regarding.(podLike); ok && reason == "FailedScheduling" && IsProjected(pod.GetName()) {
		text, due := r.said.event(pod.GetUID())
		if !due {
			return
		}
		note, args = "%s", []any{clip(text, validation.NoteLengthLimit)}
	}
	if pod, ok := regarding.(podLike); ok && IsGrowth(pod.GetName()) {
		switch reason {
		case "FailedScheduling":
			reason, action = v1alpha1.ReasonGrowthWaits, "Growing"
		case reasonScheduled:
			reason, action, note, args = reasonGrowthGranted, "Growing", "Its host grants the guest what it asks for more", nil
		}
	}
	named := make([]any, len(args))
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			arg = VMName(s)
		}
		named[i] = arg
	}
	if related != nil {
		related = reference(related)
	}
	r.EventRecorderLogger.Eventf(reference(regarding), related, eventType, reason, action, note, named...)
}

// clip keeps a text within as many bytes.
func clip(text string, limit int) string {
	const more = " ..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(more)], "") + more
}

func isGroup(obj runtime.Object) bool {
	_, ok := obj.(*schedulingv1beta1.PodGroup)
	return ok
}

// WithLogger implements events.EventRecorderLogger.
func (r *recorder) WithLogger(logger klog.Logger) events.EventRecorderLogger {
	return &recorder{EventRecorderLogger: r.EventRecorderLogger.WithLogger(logger), said: r.said, placed: r.placed}
}

// podLike is a Pod, or what the scheduler wraps around one.
type podLike interface {
	GetNamespace() string
	GetName() string
	GetUID() types.UID
	GetResourceVersion() string
}

// reference returns a reference to the VM that obj stands for, and any other
// object as it is.
func reference(obj runtime.Object) runtime.Object {
	pod, ok := obj.(podLike)
	if !ok || !IsProjected(pod.GetName()) {
		return obj
	}
	ref := &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "VirtualMachine",
		Namespace: pod.GetNamespace(), Name: VMName(pod.GetName()), ResourceVersion: pod.GetResourceVersion(),
	}
	if id, ok := ParsePod(pod.GetNamespace(), pod.GetName(), pod.GetUID()); ok {
		ref.UID = id.UID
	} else if id, _, ok := ParseGrowth(pod.GetNamespace(), pod.GetName(), pod.GetUID()); ok {
		ref.UID = id.UID
	}
	return ref
}
