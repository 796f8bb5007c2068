package podless

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Growth is what a guest that runs is to have more.
type Growth struct {
	// Granted is what the VM is granted then.
	Granted v1alpha1.GrantedResources
	// Needs is what that is more than it is granted now.
	Needs capacity.Resources
}

// GrowthOf is what a VM asks for beyond its grant that its guest can have now,
// while it runs; nil when there is nothing, or when it is not to be asked for: the
// VM is leaving its host, its host does not say that the guest runs, or has just
// refused to let it grow.
func GrowthOf(vm *v1alpha1.VirtualMachine) *Growth {
	p, h := vm.Status.Placement, vm.Status.Host
	switch {
	case p == nil || h == nil || h.Epoch != vm.Status.Epoch || h.State != v1alpha1.HostRunning || h.Refused != nil,
		vm.DeletionTimestamp != nil, vm.Status.Eviction != nil,
		vm.Spec.PowerState != "" && vm.Spec.PowerState != v1alpha1.PowerRunning,
		refusedLately(vm):
		return nil
	case p.Granted.MaxCPU == 0 && p.Granted.MaxMemory == 0:
		return nil // as most VMs: what it desires need not be reckoned
	}
	granted := capacity.Grown(p, Desired(vm))
	if granted == p.Granted {
		return nil
	}
	return &Growth{Granted: granted, Needs: capacity.FromGranted(granted).Sub(capacity.FromGranted(p.Granted))}
}

// refusedLately says whether the host has refused what the VM's spec asks for, and
// is not to be asked again yet.
func refusedLately(vm *v1alpha1.VirtualMachine) bool {
	c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionResizePending)
	return c != nil && c.Reason == v1alpha1.ReasonHostRefused && c.ObservedGeneration == vm.Generation
}

// ProjectGrowth shows what a VM's guest is to have more as a Pod of its own, which
// asks for that on the VM's host alone; nil when it is to have no more. What holds
// of the VM as a whole (labels, affinity, tolerations, its group) is not held
// against it: the VM is there already. It evicts nobody.
//
// That Pod goes through the scheduler's queue and cache like any other, so that
// what it asks for is held from the moment that it was found to be free. When the
// grant is seen to have grown the VM's own Pod asks for all of it.
func ProjectGrowth(vm *v1alpha1.VirtualMachine, priority Priority) *corev1.Pod {
	g := GrowthOf(vm)
	if g == nil {
		return nil
	}
	never := corev1.PreemptNever
	host := vm.Status.Placement.NodeName
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:         vm.Namespace,
			Name:              GrowthPodName(vm.Name, vm.Status.Epoch, vm.Generation),
			UID:               GrowthPodUID(vm.UID, vm.Status.Epoch, vm.Generation),
			ResourceVersion:   vm.ResourceVersion,
			Generation:        vm.Generation,
			CreationTimestamp: vm.CreationTimestamp,
		},
		Spec: corev1.PodSpec{
			SchedulerName: growthProfile(schedulerName(vm)),
			Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{
					Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{host},
				}}}},
			}}},
			Tolerations:       []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			PriorityClassName: vm.Spec.PriorityClassName,
			Priority:          &priority.Value,
			PreemptionPolicy:  &never,
			Containers:        []corev1.Container{{Name: containerName, Resources: corev1.ResourceRequirements{Requests: requests(g.Needs)}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionResizePending); c != nil && c.ObservedGeneration == vm.Generation {
		pod.Status.Conditions = []corev1.PodCondition{growthScheduled(c)}
	}
	return pod
}

// growthScheduled is the inverse of growthCondition.
func growthScheduled(c *metav1.Condition) corev1.PodCondition {
	out := podScheduled(c)
	out.Type, out.Status = corev1.PodScheduled, corev1.ConditionFalse
	if c.Reason == v1alpha1.ReasonGrowthWaits {
		out.Reason = corev1.PodReasonUnschedulable
	}
	return out
}

// growthCondition is the ResizePending condition for what the scheduler says of a
// growth that it finds no room for.
func growthCondition(c *corev1.PodCondition, generation int64) metav1.Condition {
	out := vmCondition(c)
	out.Type, out.Status, out.ObservedGeneration = v1alpha1.ConditionResizePending, metav1.ConditionTrue, generation
	if c.Reason == corev1.PodReasonUnschedulable {
		out.Reason = v1alpha1.ReasonGrowthWaits
	}
	return out
}

// growthProfiles is what the names of profiles begin with that decide about
// growth. No VM can choose one: they turn no host away for anything but amounts.
const growthProfiles = "growth of "

func growthProfile(schedulerName string) string { return growthProfiles + schedulerName }

// trimGrowth is the profile that the VM chose, of one that decides about growth.
func trimGrowth(profile string) string { return strings.TrimPrefix(profile, growthProfiles) }

// schedulerName is the profile that places the VM.
func schedulerName(vm *v1alpha1.VirtualMachine) string {
	switch name := vm.Spec.SchedulerName; {
	case name == "":
		return v1alpha1.DefaultSchedulerName
	case strings.HasPrefix(name, growthProfiles):
		return "not served: " + name
	default:
		return name
	}
}
