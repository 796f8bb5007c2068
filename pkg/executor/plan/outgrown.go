package plan

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// begin has the guest started, unless its VM asks for something else by now than
// its placement gives: a guest never has more than was granted, and it is the
// scheduler that grants. Such a binding is given up, and the VM placed anew.
//
// A domain is always defined anew: the spec may have been edited since, which
// takes effect now, and so may the domain, behind our back. Not so one whose
// memory is saved: that goes on with the definition of then, on the place of
// then, and the spec takes effect at the next start.
func begin(in Situation) Decision {
	if in.Domain != nil && in.Domain.Saved {
		if decision, waits := awaitNetworks(in); waits {
			return decision
		}
		return Decision{Steps: []Step{StepStart}, Again: true}
	}
	if fields := Outgrown(in); len(fields) > 0 {
		return giveUpPlace(in, strings.Join(fields, ", "))
	}
	if decision, waits := awaitDisks(in); waits {
		return decision
	}
	if decision, waits := awaitNetworks(in); waits {
		return decision
	}
	return Decision{Steps: []Step{StepDefine, StepStart}, Again: true}
}

// giveUpPlace ends the binding, so that the VM is placed anew for what it has now;
// but not where the host keeps what the VM could not take along.
func giveUpPlace(in Situation, what string) Decision {
	if HoldsPlace(in) {
		return Decision{Report: &Report{
			State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonResizeNeedsPlacement,
			Message: "another place is needed for the " + what + " that the VM has now, and the guest is not started: " + KeptForFirmware(in) + ", or take the change back",
		}}
	}
	decision := Decision{Report: &Report{
		State: v1alpha1.HostGone, Reason: v1alpha1.ReasonResizeNeedsPlacement,
		Message: "another place is needed for the " + what + " that the VM has now",
	}}
	if in.Domain != nil {
		decision.Steps = []Step{StepUndefine}
	}
	return decision
}

// placedFields are the fields, besides amounts, by which a place is chosen.
var placedFields = []string{"spec.resources.cpuPolicy", "spec.resources.devices", "spec.resources.numa", "spec.resources.threads"}

// Outgrown lists the fields of the spec for which the VM's placement is not the
// one it would get now, sorted. It finds none where the spec is the one that was
// placed: what this executor reckons of that may differ from what its scheduler
// does, as while one of them is upgraded, and the VM would go back and forth.
func Outgrown(in Situation) []string {
	vm := in.VM
	scheduled := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled)
	if scheduled == nil || scheduled.Status != metav1.ConditionTrue || scheduled.ObservedGeneration == 0 || scheduled.ObservedGeneration >= vm.Generation {
		return nil
	}
	wanted, p := capacity.Desired(&vm.Spec), vm.Status.Placement
	explicit := vm.Spec.Resources.Overhead != nil
	found := map[string]bool{
		"spec.resources.cpu":       wanted.CPU != p.Granted.CPU,
		"spec.resources.memory":    wanted.Memory != p.Granted.Memory,
		"spec.resources.maxCPU":    wanted.MaxCPU != p.Granted.MaxCPU,
		"spec.resources.maxMemory": wanted.MaxMemory != p.Granted.MaxMemory,
		"spec.resources.hugepages": wanted.PageSize != p.Granted.PageSize,
		"spec.resources.overhead":  explicit && wanted.Overhead != p.Granted.Overhead,
		"spec.resources.cpuPolicy": (vm.Spec.Resources.CPUPolicy == v1alpha1.CPUDedicated) != pinned(p),
		"spec.resources.numa":      bindsMemory(vm.Spec.Resources.NUMA) != inCells(p),
		"spec.resources.devices":   !maps.Equal(requested(vm.Spec.Resources.Devices), given(p.Devices)),
	}
	if d := in.Domain; d != nil {
		changed, _ := d.Ownership.Spec.Changed(&vm.Spec)
		for _, field := range placedFields {
			found[field] = found[field] || slices.Contains(changed, field)
		}
	}
	maps.DeleteFunc(found, func(_ string, differs bool) bool { return !differs })
	if len(found) == 0 && !explicit && capacity.OverheadWithoutDisks(&vm.Spec) > p.Granted.Overhead {
		// By its devices alone. Where what is computed is less, it will do; and its
		// VirtualDisks share what there is.
		return []string{"spec.domain"}
	}
	return slices.Sorted(maps.Keys(found))
}

// pinned says whether the placement gives the vCPUs host CPUs of their own.
func pinned(p *v1alpha1.Placement) bool {
	return slices.ContainsFunc(p.Cells, func(c v1alpha1.PlacedCell) bool { return c.CPUs != "" })
}

// inCells says whether the placement binds guest memory to cells.
func inCells(p *v1alpha1.Placement) bool {
	return slices.ContainsFunc(p.Cells, func(c v1alpha1.PlacedCell) bool { return c.Memory > 0 })
}

func bindsMemory(policy v1alpha1.NUMAPolicy) bool { return policy != "" && policy != v1alpha1.NUMANone }

// requested and given count devices by name.
func requested(requests []v1alpha1.DeviceRequest) map[string]int {
	out := map[string]int{}
	for _, r := range requests {
		out[r.Name] += max(int(r.Count), 1)
	}
	return out
}

func given(devices []v1alpha1.PlacedDevice) map[string]int {
	out := map[string]int{}
	for _, d := range devices {
		out[d.Name]++
	}
	return out
}
