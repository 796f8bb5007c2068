// Package reachability says on VMs that their host cannot be heard or asked, and
// takes it back when it can: one write a VM for each. A VM that is said to run on
// a host that has been away for an hour is not known to run.
package reachability

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/controller/heartbeat"
	"domus.dev/domus/pkg/controller/silence"
)

// absence is why nothing is known of a host's guests at present.
type absence struct {
	reason string
	// since is when it began, by the Node; zero when that does not say.
	since time.Time
	// words say to a person what is wrong, and remedy what to do about it.
	words, remedy string
}

// absenceOf returns nil when the host can be asked. node and lease are nil where
// there is none.
func absenceOf(name string, node *corev1.Node, lease *coordinationv1.Lease) *absence {
	if node == nil {
		return &absence{
			reason: v1alpha1.ReasonHostUnreachable, words: "there is no Node " + name + " any more",
			remedy: "have vm-executor run on " + name + ", which registers it again",
		}
	}
	s := silence.Of(node)
	switch {
	case s == nil:
		return nil
	case s.Reason == v1alpha1.ReasonHostLibvirtUnavailable:
		return &absence{
			reason: s.Reason, since: s.Since,
			words:  name + " does not reach its libvirt" + at(s.Since),
			remedy: "see whether libvirtd runs on " + name,
		}
	}
	heard := s.Since
	if lease != nil {
		heard = heartbeat.Renewed(lease)
	}
	return &absence{
		reason: s.Reason, since: s.Since,
		words:  name + " has not been heard of" + at(heard),
		remedy: "see whether " + name + " is up, and its vm-executor runs and reaches the API server",
	}
}

// at writes since when, as the API writes times.
func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + t.UTC().Format(time.RFC3339)
}

// said is what the VM's conditions say of it.
func said(vm *v1alpha1.VirtualMachine) *metav1.Condition {
	return meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionHostReachable)
}

// settled says whether the VM's conditions say already what there is to say.
func settled(vm *v1alpha1.VirtualMachine, a *absence) bool {
	c := said(vm)
	if a == nil || c == nil {
		return a == nil && c == nil
	}
	return c.Status == metav1.ConditionFalse && c.Reason == a.reason
}

// condition is what is said of a VM of the host. Times in it are those of when the
// host was lost, so that it stays what it is.
func (a *absence) condition(vm *v1alpha1.VirtualMachine, now time.Time) metav1.Condition {
	effect := "what is asked of the VM is done when it is back"
	if vm.DeletionTimestamp != nil {
		effect = "the VM, which is being deleted, goes when it is back"
	}
	guest := ""
	if hasGuest(vm) {
		guest = "the guest may well run on, and "
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionHostReachable, Status: metav1.ConditionFalse, Reason: a.reason,
		Message:            fmt.Sprintf("%s: %s%s; %s", a.words, guest, effect, a.remedy),
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	}
}

// hasGuest says whether the host has said last that there is a guest.
func hasGuest(vm *v1alpha1.VirtualMachine) bool {
	h := vm.Status.Host
	if h == nil || h.Epoch != vm.Status.Epoch {
		return false
	}
	return h.State == v1alpha1.HostRunning || h.State == v1alpha1.HostPaused || h.State == v1alpha1.HostStopping
}
