package placement

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa/oracle"
	"domus.dev/domus/pkg/podless"
)

// letGrow has a VM, if it can, grow while it runs.
func (w *world) letGrow(t *rapid.T, vm *v1alpha1.VirtualMachine) {
	r := &vm.Spec.Resources
	if r.NUMA != "" && r.NUMA != v1alpha1.NUMANone || r.CPUPolicy == v1alpha1.CPUDedicated || !rapid.Bool().Draw(t, "may grow") {
		return
	}
	r.MaxCPU = r.CPU + 4
	if r.Hugepages == nil && len(r.Devices) == 0 {
		r.MaxMemory = resource.NewQuantity(4*r.Memory.Value(), resource.BinarySI)
	}
}

// resize has VMs that have a place ask for another size: mostly a little more or
// less, since the hosts are full as a rule, and some of them for what they cannot
// have without being started anew. Memory that a guest is to have less it gives back
// at once.
func (w *world) resize(t *rapid.T) {
	all := slices.DeleteFunc(w.store.list(), func(vm *v1alpha1.VirtualMachine) bool {
		return vm.Spec.Resources.MaxCPU == 0 || vm.Status.Placement == nil
	})
	for range rapid.IntRange(1, 4).Draw(t, "edits") {
		if len(all) == 0 {
			return
		}
		vm := all[rapid.IntRange(0, len(all)-1).Draw(t, "which VM")]
		granted := vm.Status.Placement.Granted
		cpu := max(1, granted.CPU+rapid.Int32Range(-1, 2).Draw(t, "vCPUs"))
		quarters := rapid.SampledFrom([]int64{1, 3, 4, 5, 6, 17}).Draw(t, "memory")
		_ = w.store.change(vm.Owner(), func(vm *v1alpha1.VirtualMachine) error { // unless it has moved on
			vm.Generation += 1000
			r := &vm.Spec.Resources
			if r.CPU = cpu; r.MaxMemory != nil {
				r.Memory = *resource.NewQuantity(quarters*(r.MaxMemory.Value()/16), resource.BinarySI)
			}
			if p := vm.Status.Placement; p != nil && vm.Status.Eviction == nil {
				if p.Granted = capacity.Shrunk(p, podless.Desired(vm)); w.resized(vm) != nil {
					return fmt.Errorf("%s does not fit when it has less", vm.Name)
				}
			}
			return nil
		})
	}
}

// resized is what the host of a VM does whose grant has changed.
func (w *world) resized(vm *v1alpha1.VirtualMachine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := vm.Status.Placement
	held := w.held[p.NodeName]
	was, there := held[vm.UID]
	if !there {
		return fmt.Errorf("%s is granted %+v on %s, which does not hold it", vm.Name, p.Granted, p.NodeName)
	}
	held[vm.UID] = *p.DeepCopy()
	if broken := oracle.Broken(w.hosts[p.NodeName], placements(held)); broken != "" {
		return fmt.Errorf("%s was granted %+v on %s, and %+v does not fit: %s", vm.Name, was.Granted, p.NodeName, p.Granted, broken)
	}
	return nil
}

// wrongGrowth says which VM waits to grow although its host has the room, or
// nothing; the caller holds w.mu. Room that is being made for another VM is none.
func (w *world) wrongGrowth(waiting, growing []*v1alpha1.VirtualMachine) string {
	for _, vm := range growing {
		p := vm.Status.Placement.DeepCopy()
		if promised(waiting, vm, p.NodeName) {
			continue
		}
		held := maps.Clone(w.held[p.NodeName])
		p.Granted = podless.GrowthOf(vm).Granted
		held[vm.UID] = *p
		if oracle.Broken(w.hosts[p.NodeName], placements(held)) == "" {
			return fmt.Sprintf("%s waits to grow (%s) and fits on %s as %+v:\n  held %+v", vm.Name, said(vm), p.NodeName, p.Granted, w.held[p.NodeName])
		}
		if len(vm.Status.Conditions) != 1 || vm.Status.Conditions[0].Type != v1alpha1.ConditionResizePending || vm.Status.Conditions[0].ObservedGeneration != vm.Generation {
			return fmt.Sprintf("%s waits to grow and nobody says why: %+v", vm.Name, vm.Status.Conditions)
		}
	}
	return ""
}
