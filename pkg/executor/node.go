package executor

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
)

// reasonExecutorReady is the reason of Ready on a Node without a kubelet.
const reasonExecutorReady = "ExecutorReady"

// goArch spells libvirt's architectures as Go and Kubernetes do.
var goArch = map[string]string{
	"x86_64": "amd64", "i686": "386", "aarch64": "arm64", "armv7l": "arm",
	"ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64", "loongarch64": "loong64",
}

// newNode is the Node of a host without a kubelet, as it is created. Ordinary
// pods and load balancers are to keep away from it.
func newNode(config hostconfig.HostConfiguration, arch string) *corev1.Node {
	labels := map[string]string{
		corev1.LabelHostname:             config.NodeName,
		corev1.LabelOSStable:             "linux",
		corev1.LabelNodeExcludeBalancers: "",
		v1alpha1.HypervisorLabel:         "true",
	}
	if a := goArch[arch]; a != "" {
		labels[corev1.LabelArchStable] = a
	}
	maps.Copy(labels, config.Labels)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: config.NodeName, Labels: labels},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{
			{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule},
		}},
	}
}

// wantMeta sets on node the labels and taints that the executor answers for,
// and leaves all others as they are.
func wantMeta(node *corev1.Node, config hostconfig.HostConfiguration, connected bool, now time.Time) {
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[v1alpha1.HypervisorLabel] = "true"
	maps.Copy(node.Labels, config.Labels)
	wantTaint(node, v1alpha1.HypervisorTaint, config.Mode != hostconfig.ModePartitioned, now)
	wantTaint(node, v1alpha1.LibvirtUnavailableTaint, !connected, now)
	if config.RegisterNode && readyNode(node) {
		// The API server taints every new Node; where no node controller takes
		// that away, who answers for the Node does.
		wantTaint(node, corev1.TaintNodeNotReady, false, now)
	}
}

func readyNode(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// wantTaint makes node carry the NoSchedule taint, or not.
func wantTaint(node *corev1.Node, key string, want bool, now time.Time) {
	is := func(t corev1.Taint) bool { return t.Key == key && t.Effect == corev1.TaintEffectNoSchedule }
	has := slices.ContainsFunc(node.Spec.Taints, is)
	switch {
	case want && !has:
		since := metav1.NewTime(now.Truncate(time.Second))
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &since})
	case !want && has:
		node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, is)
	}
}

// wantStatus sets the host's resources in node's status.
//
// A kubelet copies capacity to allocatable for every resource that it does not
// know, at each of its heartbeats. On its Node both are therefore what VMs may
// be granted; the physical amounts are in the Hypervisor.
func wantStatus(node *corev1.Node, config hostconfig.HostConfiguration, a account) {
	total := a.physical
	if !config.RegisterNode {
		total = a.allocatable
	}
	node.Status.Capacity = with(node.Status.Capacity, total.List())
	node.Status.Allocatable = with(node.Status.Allocatable, a.allocatable.List())
}

// wantRegistered sets the rest of the status of a Node without a kubelet: no
// pods, the host's CPUs and memory, and that it is alive.
func wantRegistered(node *corev1.Node, a account, kernel string, now time.Time) {
	own := corev1.ResourceList{
		corev1.ResourcePods:   *resource.NewQuantity(0, resource.DecimalSI),
		corev1.ResourceCPU:    *resource.NewQuantity(a.description.CPUs, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(a.description.Memory, resource.BinarySI),
	}
	node.Status.Capacity = with(node.Status.Capacity, own)
	node.Status.Allocatable = with(node.Status.Allocatable, own)
	node.Status.NodeInfo.OperatingSystem = "linux"
	node.Status.NodeInfo.Architecture = goArch[a.description.Arch]
	node.Status.NodeInfo.KernelVersion = kernel
	wantReady(node, now)
}

func wantReady(node *corev1.Node, now time.Time) {
	at := metav1.NewTime(now.Truncate(time.Second))
	ready := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: reasonExecutorReady,
		Message: "the vm-executor of this host is running", LastHeartbeatTime: at, LastTransitionTime: at,
	}
	for i := range node.Status.Conditions {
		c := &node.Status.Conditions[i]
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == ready.Status {
			ready.LastTransitionTime = c.LastTransitionTime
		}
		*c = ready
		return
	}
	node.Status.Conditions = append(node.Status.Conditions, ready)
}

// keepHeartbeat takes the heartbeat's time out of the comparison of two
// statuses.
func keepHeartbeat(from, to *corev1.Node) {
	for _, f := range from.Status.Conditions {
		for i := range to.Status.Conditions {
			t := &to.Status.Conditions[i]
			if t.Type == corev1.NodeReady && f.Type == t.Type && f.Status == t.Status {
				t.LastHeartbeatTime = f.LastHeartbeatTime
			}
		}
	}
}

// with returns list with the amounts of own, unchanged where they are equal.
func with(list, own corev1.ResourceList) corev1.ResourceList {
	out := maps.Clone(list)
	if out == nil {
		out = corev1.ResourceList{}
	}
	for name, q := range own {
		if have, ok := out[name]; !ok || have.Cmp(q) != 0 {
			out[name] = q
		}
	}
	return out
}
