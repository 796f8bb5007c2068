// Package silence says why a host cannot be asked anything, by its Node.
package silence

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Silence is why a host cannot be asked.
type Silence struct {
	// Reason is ReasonHostUnreachable or ReasonHostLibvirtUnavailable.
	Reason string
	// Why says it in words, and Taint is the Node's that tells.
	Why, Taint string
	// Since is when the taint was set; zero when it does not say.
	Since time.Time
}

// kinds are the taints of a host that cannot be asked, the worst first.
var kinds = []Silence{
	{Reason: v1alpha1.ReasonHostUnreachable, Why: "its vm-executor has not been heard of", Taint: v1alpha1.ExecutorUnreachableTaint},
	{Reason: v1alpha1.ReasonHostLibvirtUnavailable, Why: "its libvirt cannot be reached", Taint: v1alpha1.LibvirtUnavailableTaint},
}

// Of returns why the Node's host cannot be asked, and nil when it can.
func Of(node *corev1.Node) *Silence {
	for _, s := range kinds {
		i := slices.IndexFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == s.Taint })
		if i < 0 {
			continue
		}
		if at := node.Spec.Taints[i].TimeAdded; at != nil {
			s.Since = at.Time
		}
		return &s
	}
	return nil
}

// Changed says whether a Node's host fell silent, or is heard again, or for
// another reason.
func Changed(before, after *corev1.Node) bool {
	was, is := Of(before), Of(after)
	return (was == nil) != (is == nil) || was != nil && (was.Taint != is.Taint || !was.Since.Equal(is.Since))
}
