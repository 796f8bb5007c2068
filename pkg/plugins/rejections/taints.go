package rejections

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// tainted begins a reason that names a taint, which kube-scheduler's does not.
const tainted = "node(s) had untolerated taint: "

// Untolerated are the taints of a Node that keep the Pod off it.
func Untolerated(pod *corev1.Pod, node *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	keepsOff := helper.DoNotScheduleTaintsFilterFunc()
	for i := range node.Spec.Taints {
		if t, kept := corehelpers.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints[i:i+1], pod.Spec.Tolerations, keepsOff, false); kept {
			out = append(out, t)
		}
	}
	return out
}

// NameTaints is the status of a Node for the Pod, with a reason for each taint in
// place of the one that there is some.
func NameTaints(status *fwk.Status, pod *corev1.Pod, node *corev1.Node) *fwk.Status {
	if status.Plugin() != names.TaintToleration || node == nil {
		return status
	}
	var reasons []string
	for _, t := range Untolerated(pod, node) {
		reasons = append(reasons, tainted+t.ToString())
	}
	if len(reasons) == 0 {
		return status // it has been taken away meanwhile
	}
	return fwk.NewStatus(status.Code(), reasons...).WithPlugin(status.Plugin())
}

// Unanswering is what does not answer on hosts with a taint of Domus's own, which
// no VM should tolerate; "" for any other.
func Unanswering(key string) string {
	switch key {
	case v1alpha1.ExecutorUnreachableTaint:
		return "vm-executor"
	case v1alpha1.LibvirtUnavailableTaint:
		return "libvirt"
	}
	return ""
}

// taintWords say a taint of so many hosts, as Taint.ToString has it.
func taintWords(taint string, hosts int) string {
	key, _, _ := strings.Cut(taint, ":")
	key, _, _ = strings.Cut(key, "=")
	if who := Unanswering(key); who != "" {
		return plural(hosts, "its ", "their ") + who + " does not answer (taint " + taint + ")"
	}
	return plural(hosts, "has", "have") + " a taint that it does not tolerate: " + taint
}
