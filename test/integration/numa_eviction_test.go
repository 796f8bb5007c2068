package integration

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Two small VMs lie in each of two cells. A VM that needs a whole cell evicts
// the two of one cell; any two would free as much in sum.
func TestPreemptionMakesRoomInOneCell(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	host := described(t, ns, 1, shape{cells: 2, cpus: 4, memory: 32 * gib, pages1Gi: 8})[0]
	k := keep(t, host)
	urgentClass(t, ns+"-urgent")
	asks := []func(*v1alpha1.VirtualMachine){numaPolicy(v1alpha1.NUMASingleCell), dedicated, hugepages(v1alpha1.PageSize1Gi)}
	cellOf := func(name string) int32 {
		vm := waitVM(t, ns, name, running)
		return vm.Status.Placement.Cells[0].ID
	}
	// The filler makes those that stay start in turn: cell 0, 1, 0, 1. Who started
	// last is evicted first, so by sums it would be one of each cell.
	filler := newVM(ns, "filler", 2, 4, asks...)
	var cells []int32
	start := func(name string) {
		create(t, newVM(ns, name, 2, 4, asks...))
		cells = append(cells, cellOf(name))
	}
	start("first")
	create(t, filler)
	cellOf("filler")
	start("second")
	remove(filler)
	waitGone(t, ns, "filler")
	start("third")
	start("fourth")
	if want := []int32{0, 1, 0, 1}; !slices.Equal(cells, want) {
		t.Fatalf("the VMs lie in cells %v, want %v", cells, want)
	}

	k.refuseToEvict()
	create(t, newVM(ns, "urgent", 4, 8, append(asks, func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = ns + "-urgent" })...))
	victims := []string{"second", "fourth"}
	for _, name := range victims {
		waitVM(t, ns, name, func(vm *v1alpha1.VirtualMachine) string {
			if vm.Status.Eviction == nil {
				return "is not asked to go"
			}
			return ""
		})
	}
	// What was asked of the host is not yet done.
	stays(t, ns, "urgent", unbound)
	for _, name := range []string{"first", "third"} {
		if vm := waitVM(t, ns, name, running); vm.Status.Eviction != nil {
			t.Errorf("%s is evicted, and does not lie in the cell that is emptied", name)
		}
	}

	k.relent()
	urgent := waitVM(t, ns, "urgent", running)
	if diff := cmp.Diff([]v1alpha1.PlacedCell{{ID: 1, CPU: 4, Memory: 8 * gib, CPUs: "4-7"}}, urgent.Status.Placement.Cells); diff != "" {
		t.Errorf("cells of the urgent VM (-want +got):\n%s", diff)
	}
	for _, name := range victims {
		waitVM(t, ns, name, waiting("Unschedulable", "1 host: need 4Gi of 1Gi hugepages, "))
	}
	if refused := k.refusals(); len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}
