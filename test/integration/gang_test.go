package integration

import (
	"fmt"
	"testing"

	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// gang makes a PodGroup of which minCount VMs are placed together or none.
func gang(t *testing.T, ns, name string, minCount int32, change ...func(*schedulingv1beta1.PodGroup)) *schedulingv1beta1.PodGroup {
	t.Helper()
	pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: minCount}
	for _, f := range change {
		f(pg)
	}
	create(t, pg)
	return pg
}

// member makes a VM one of the gang's.
func member(group string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.SchedulingGroup = &v1alpha1.SchedulingGroup{PodGroupName: group}
	}
}

// members creates n VMs of the gang, of cpu vCPUs each, and returns their names.
func members(t *testing.T, ns, group string, n int, cpu int32, change ...func(*v1alpha1.VirtualMachine)) []string {
	t.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-%d", group, i)
		create(t, newVM(ns, name, cpu, 1, append(change, member(group))...))
		names = append(names, name)
	}
	return names
}

// all waits until is holds for every VM.
func all(t *testing.T, ns string, names []string, is func(*v1alpha1.VirtualMachine) string) {
	t.Helper()
	for _, name := range names {
		waitVM(t, ns, name, is)
	}
}

func TestGangIsBoundTogetherOrNotAtAll(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	names := hosts(t, ns, 2, mid)
	pg := gang(t, ns, "gang", 3)
	vms := members(t, ns, "gang", 3, 8)

	// Two hosts have room for one each.
	all(t, ns, vms, waiting("Unschedulable", ""))
	stays(t, ns, vms[0], unbound)
	all(t, ns, vms, unbound)
	for _, name := range vms {
		vm := waitVM(t, ns, name, unbound)
		c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
		t.Logf("%s: %s %s", name, c.Reason, c.Message)
	}
	get(t, types.NamespacedName{Namespace: ns, Name: pg.Name}, pg)
	t.Logf("PodGroup: %+v", pg.Status)

	// A host grows.
	offer(t, names[0], capacity.Resources{CPU: 16, Memory: 32 * gib})
	all(t, ns, vms, bound)
	get(t, types.NamespacedName{Namespace: ns, Name: pg.Name}, pg)
	t.Logf("PodGroup: %+v", pg.Status)
}
