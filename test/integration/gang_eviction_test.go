package integration

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestGangMakesRoom(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	high := ns + "-high"
	urgentClass(t, high)
	important := func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = high }
	lows := []string{"low-0", "low-1"}
	for _, low := range lows {
		create(t, newVM(ns, low, 8, 1))
		waitVM(t, ns, low, bound)
		hostSays(t, ns, low, v1alpha1.HostRunning, "", "")
	}

	pg := gang(t, ns, "gang", 2, func(pg *schedulingv1beta1.PodGroup) { pg.Spec.PriorityClassName = high })
	vms := members(t, ns, "gang", 2, 8, important)
	all(t, ns, lows, func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Eviction == nil {
			return "no eviction was asked for"
		}
		return ""
	})
	if note := eventOn(t, ns, lows[0], "Preempted"); !strings.Contains(note, "the VirtualMachines of PodGroup "+ns+"/gang") {
		t.Errorf("event says %q", note)
	}
	scheduledSays(t, pg, metav1.ConditionFalse, "preempti")
	// None is bound before there is room for all.
	hostSays(t, ns, lows[0], v1alpha1.HostGone, v1alpha1.ReasonEvicted, "")
	stays(t, ns, vms[0], unbound)
	all(t, ns, vms, unbound)
	hostSays(t, ns, lows[1], v1alpha1.HostGone, v1alpha1.ReasonEvicted, "")
	all(t, ns, vms, bound)
	all(t, ns, lows, unbound)
}

func TestGangIsEvictedWholeWhenItSaysSo(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	high := ns + "-high"
	urgentClass(t, high)
	gang(t, ns, "gang", 2, func(pg *schedulingv1beta1.PodGroup) {
		pg.Spec.DisruptionMode = &schedulingv1beta1.DisruptionMode{All: &schedulingv1beta1.AllDisruptionMode{}}
	})
	vms := members(t, ns, "gang", 2, 8)
	all(t, ns, vms, bound)
	for _, vm := range vms {
		hostSays(t, ns, vm, v1alpha1.HostRunning, "", "")
	}
	// It needs one of the hosts only.
	create(t, newVM(ns, "important", 8, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = high }))
	all(t, ns, vms, func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Eviction == nil {
			return "no eviction was asked for"
		}
		return ""
	})
	for _, vm := range vms {
		hostSays(t, ns, vm, v1alpha1.HostGone, v1alpha1.ReasonEvicted, "")
	}
	waitVM(t, ns, "important", bound)
	// There is room for one of the two again.
	all(t, ns, vms, waiting("Unschedulable", ""))
	stays(t, ns, vms[0], unbound)
	all(t, ns, vms, unbound)
}

func TestGangEvictsNobodyInVainAndNoPod(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	high := ns + "-high"
	urgentClass(t, high)
	create(t, newVM(ns, "low", 8, 1))
	waitVM(t, ns, "low", bound)
	for _, host := range names {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: host, Labels: map[string]string{"app": "x"}}}
		pod.Spec.NodeName = host
		pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "none"}}
		if err := suite.podWriter.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = suite.podWriter.Delete(t.Context(), pod) })
	}

	// Only the pods' departure would let the gang in.
	pg := gang(t, ns, "gang", 2, func(pg *schedulingv1beta1.PodGroup) { pg.Spec.PriorityClassName = high })
	vms := members(t, ns, "gang", 2, 8, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.PriorityClassName = high
		vm.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
		}}}}
	})
	scheduledSays(t, pg, metav1.ConditionFalse, "minCount (2) cannot be satisfied")
	stays(t, ns, vms[0], func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.NominatedNodeName != "" {
			return "room is being made on " + vm.Status.NominatedNodeName
		}
		return unbound(vm)
	})
	waitVM(t, ns, "low", func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Eviction != nil {
			return "is evicted in vain"
		}
		return ""
	})
}
