package integration

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// urgentClass is for VMs that may evict those without a class.
func urgentClass(t *testing.T, name string) {
	t.Helper()
	create(t, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: 1000})
}

func TestPreemptionAsksTheHostAndDeletesNothing(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	urgentClass(t, ns+"-high")
	create(t, newVM(ns, "low", 8, 1))
	low := waitVM(t, ns, "low", boundTo(host))
	hostSays(t, ns, "low", v1alpha1.HostRunning, "", "")

	create(t, newVM(ns, "high", 8, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = ns + "-high" }))
	evicting := waitVM(t, ns, "low", func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Eviction == nil {
			return "no eviction was asked for"
		}
		return ""
	})
	if evicting.Status.Placement == nil || evicting.Status.Epoch != low.Status.Epoch {
		t.Errorf("the placement was taken before the host gave it up: %+v", evicting.Status)
	}
	if note := eventOn(t, ns, "low", "Preempted"); !strings.Contains(note, ns+"/high") {
		t.Errorf("event says %q", note)
	}
	waitVM(t, ns, "high", func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.NominatedNodeName != host {
			return "is nominated to " + vm.Status.NominatedNodeName
		}
		return ""
	})
	// Capacity is not free before the guest is gone.
	stays(t, ns, "high", unbound)

	hostSays(t, ns, "low", v1alpha1.HostGone, v1alpha1.ReasonEvicted, "")
	high := waitVM(t, ns, "high", boundTo(host))
	if high.Status.NominatedNodeName != "" {
		t.Errorf("still nominated to %s", high.Status.NominatedNodeName)
	}
	evicted := waitVM(t, ns, "low", unbound)
	if evicted.UID != low.UID || evicted.Status.Epoch != low.Status.Epoch+1 || evicted.Status.Eviction != nil {
		t.Errorf("after eviction: uid %s (was %s), %+v", evicted.UID, low.UID, evicted.Status)
	}
	waitVM(t, ns, "low", waiting("Unschedulable", "need 8 vCPUs, largest free is 0"))

	remove(high)
	waitVM(t, ns, "low", boundTo(host))
}

func TestPreemptionNeverTakesARealPod(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	urgentClass(t, ns+"-high")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pod", Labels: map[string]string{"app": "x"}}}
	pod.Spec.NodeName = host
	pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "none"}}
	if err := suite.podWriter.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = suite.podWriter.Delete(t.Context(), pod) })

	// Only the Pod's departure would let this VM in.
	create(t, newVM(ns, "vm", 1, 1, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.PriorityClassName = ns + "-high"
		vm.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
		}}}}
	}))
	waitVM(t, ns, "vm", waiting("Unschedulable", "anti-affinity"))
	stays(t, ns, "vm", unbound)
	live := &corev1.Pod{}
	get(t, types.NamespacedName{Namespace: ns, Name: "pod"}, live)
	if live.DeletionTimestamp != nil {
		t.Error("the real pod is being deleted")
	}
}

func TestHostUnfitIsTriedElsewhere(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	create(t, newVM(ns, "vm", 1, 1))
	first := waitVM(t, ns, "vm", bound).Status.Placement.NodeName
	other := names[0]
	if other == first {
		other = names[1]
	}
	hostSays(t, ns, "vm", v1alpha1.HostRejected, v1alpha1.ReasonHostUnfit, "its hugepages are taken")
	vm := waitVM(t, ns, "vm", boundTo(other))
	if vm.Status.Epoch != 1 || len(vm.Status.ExcludedHosts) != 1 || vm.Status.ExcludedHosts[0].NodeName != first {
		t.Errorf("status %+v", vm.Status)
	}
}

func TestInvalidDomainIsHeldUntilTheSpecChanges(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", bound)
	hostSays(t, ns, "vm", v1alpha1.HostRejected, v1alpha1.ReasonInvalidDomain, "unknown machine type pc-9000")
	waitVM(t, ns, "vm", waiting("InvalidDomain", "pc-9000"))
	stays(t, ns, "vm", unbound)
	vm := waitVM(t, ns, "vm", unbound)
	if vm.Status.Phase != v1alpha1.PhaseInvalid {
		t.Errorf("phase is %s", vm.Status.Phase)
	}
	vm.Spec.Resources.CPU = 2
	if err := suite.client.Update(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	waitVM(t, ns, "vm", bound)
}

func TestDeletedVMThatNoHostHoldsGoes(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	vm := newVM(ns, "orphan", 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = []string{v1alpha1.DomainFinalizer} })
	create(t, vm)
	if err := suite.client.Delete(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	waitGone(t, ns, "orphan")
}
