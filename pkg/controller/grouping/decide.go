package grouping

import (
	"fmt"

	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// why returns what keeps the group's VMs out of the scheduler's queue, and ""
// when nothing does. group is nil when there is no such PodGroup; vms are all
// that name it.
func (o Options) why(name string, group *schedulingv1beta1.PodGroup, vms []*v1alpha1.VirtualMachine) string {
	switch {
	case !o.Enabled:
		return "spec.schedulingGroup: groups of VirtualMachines are off here: " +
			"start vm-scheduler with --feature-gates=GenericWorkload=true, or create the VirtualMachine without schedulingGroup"
	case group == nil:
		return fmt.Sprintf("there is no PodGroup %s in this namespace: create it", name)
	case group.Spec.SchedulingPolicy.Gang == nil:
		return ""
	}
	least, seen := group.Spec.SchedulingPolicy.Gang.MinCount, int32(0)
	for _, vm := range vms {
		if podless.Member(vm) {
			seen++
		}
	}
	if seen >= least {
		return ""
	}
	// Without the number that is missing: it would be written on every member
	// each time another one comes.
	return fmt.Sprintf("PodGroup %s is placed when %d VirtualMachines of it shall run: create or start the others, or lower its minCount", name, least)
}

// waits says whether a VM of a group that cannot be placed yet is to be told why.
func (o Options) waits(vm *v1alpha1.VirtualMachine) bool {
	return vm.Status.Placement == nil && podless.Member(vm) && o.SchedulerNames.Has(vm.Spec.SchedulerName)
}
