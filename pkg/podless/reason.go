package podless

import (
	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Reasons says why the scheduler has found no host for a projected Pod.
type Reasons interface {
	// Of reads what hosts, those of the cycle that has just ended, said of the
	// Pod. It is cheap; the Text is not.
	Of(pod *corev1.Pod, fit *framework.FitError, hosts fwk.NodeInfoLister) Reason
}

// Reason is why a VM waits.
type Reason struct {
	// Verdict is what somebody has to know at once when it changes; mostly empty.
	Verdict string
	// Substance is equal for reasons that differ in numbers alone.
	Substance string
	// Text says it to a person.
	Text func() string
}
