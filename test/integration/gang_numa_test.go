package integration

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// A group's members are chosen one after another on one snapshot, which does
// not show them to each other: no CPU may be given twice all the same.
func TestGangOnTheCellsOfOneHost(t *testing.T) {
	startScheduler(t, schedulerOptions{gangs: true})
	ns := namespace(t, nil)
	names := described(t, ns, 1, shape{cells: 2, cpus: 4, memory: 16 * gib})
	k := keep(t, names...)
	onCell := func(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.NUMA = v1alpha1.NUMASingleCell }
	create(t, newVM(ns, "other", 1, 1, onCell, dedicated))
	waitRunning(t, ns, 1)

	// 7 CPUs are left, and room for three pairs of them.
	pg := gang(t, ns, "pairs", 4)
	vms := members(t, ns, "pairs", 4, 2, onCell, dedicated)
	scheduledSays(t, pg, "False", "")
	all(t, ns, vms, unbound)

	other := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: "other"}, other)
	remove(other)
	fitTogether(t, names, waitRunning(t, ns, 4))
	if refused := k.refusals(); len(refused) > 0 {
		t.Errorf("the host refused some of the group: %v", refused)
	}
}
