package integration

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// startKubeScheduler starts the scheduler of pods, as it is, and lends it the
// namespace.
func startKubeScheduler(t *testing.T, ns string) {
	t.Helper()
	if err := build(suite.dir, "k8s.io/kubernetes/cmd/kube-scheduler"); err != nil {
		t.Fatal(err)
	}
	suite.plane.lent[ns] = true
	cfg, err := suite.plane.as(kubeSchedulerUser)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := append(servingArgs(t, dir, cfg), "--leader-elect=false", "-v", "3")
	launch(t, dir, "kube-scheduler", args...).waitLog("Handlers synced")
}

// kubelet reports what a kubelet would of the Node: its own share for pods.
func kubelet(t *testing.T, name string, cpu, gb int64, taints ...corev1.Taint) {
	t.Helper()
	node := &corev1.Node{}
	get(t, types.NamespacedName{Name: name}, node)
	node.Spec.Taints = taints
	if err := suite.client.Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	before := node.DeepCopy()
	for name, q := range map[corev1.ResourceName]*resource.Quantity{
		corev1.ResourceCPU:    resource.NewQuantity(cpu, resource.DecimalSI),
		corev1.ResourceMemory: resource.NewQuantity(gb*gib, resource.BinarySI),
		corev1.ResourcePods:   resource.NewQuantity(110, resource.DecimalSI),
	} {
		node.Status.Capacity[name], node.Status.Allocatable[name] = *q, *q
	}
	if err := suite.client.Status().Patch(t.Context(), node, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// newPod makes a pod of one CPU and 1 GiB on the namespace's own hosts.
func newPod(t *testing.T, ns, name string) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	pod.Spec.NodeSelector = map[string]string{"test": ns}
	pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "none", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi"),
	}}}}
	if err := suite.podWriter.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = suite.podWriter.Delete(t.Context(), pod) })
}

// waitPod waits until is returns "" for the pod.
func waitPod(t *testing.T, ns, name string, is func(*corev1.Pod) string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		pod := &corev1.Pod{}
		get(t, types.NamespacedName{Namespace: ns, Name: name}, pod)
		if last = is(pod); last == "" {
			return
		}
	}
	t.Fatalf("pod %s/%s: %s", ns, name, last)
}

func podOn(node string) func(*corev1.Pod) string {
	return func(pod *corev1.Pod) string {
		if pod.Spec.NodeName != node {
			return fmt.Sprintf("is on %q, want %s: %+v", pod.Spec.NodeName, node, pod.Status.Conditions)
		}
		return ""
	}
}

// podWaits says that kube-scheduler has found no Node for the pod.
func podWaits(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable && pod.Spec.NodeName == "" {
			return ""
		}
	}
	return fmt.Sprintf("does not wait: on %q, %+v", pod.Spec.NodeName, pod.Status.Conditions)
}

// One host is shared between pods and VMs, another is for VMs alone. Each
// scheduler fills its share of them to the last CPU, beside the other.
func TestBesideKubeScheduler(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	startKubeScheduler(t, ns)
	names := described(t, ns, 2, shape{cells: 2, cpus: 4, memory: 16 * gib})
	shared, alone := names[0], names[1]
	kubelet(t, shared, 4, 8)
	kubelet(t, alone, 8, 32, corev1.Taint{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule})
	k := keep(t, names...)

	// Half of each come first, so that either finds the other there already.
	pods, vms := 0, 0
	add := func() {
		for range 2 {
			newPod(t, ns, fmt.Sprintf("pod-%d", pods))
			waitPod(t, ns, fmt.Sprintf("pod-%d", pods), podOn(shared))
			pods++
		}
		for range 2 {
			create(t, newVM(ns, fmt.Sprintf("vm-%d", vms), 4, 8, numaPolicy(v1alpha1.NUMASingleCell)))
			waitVM(t, ns, fmt.Sprintf("vm-%d", vms), running)
			vms++
		}
	}
	add()
	add()
	newPod(t, ns, "one-too-many")
	create(t, newVM(ns, "one-too-many", 1, 1))
	waitPod(t, ns, "one-too-many", podWaits)
	waitVM(t, ns, "one-too-many", waiting("Unschedulable", "2 hosts: need 1 vCPU, largest free is 0"))
	fitTogether(t, names, waitRunning(t, ns, vms))
	if refused := k.refusals(); len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}

	// What a pod gives back is for pods, what a VM gives back for VMs.
	remove(newVM(ns, "vm-0", 4, 8))
	waitVM(t, ns, "one-too-many", running)
	waitPod(t, ns, "one-too-many", podWaits)
	create(t, newVM(ns, "another", 4, 1))
	waitVM(t, ns, "another", waiting("Unschedulable", "2 hosts: need 4 vCPUs, largest free is "))
	gone := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pod-0"}}
	if err := suite.podWriter.Delete(t.Context(), gone, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	waitPod(t, ns, "one-too-many", podOn(shared))
	stays(t, ns, "another", unbound)
}
