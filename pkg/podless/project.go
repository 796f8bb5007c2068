package podless

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Priority is a resolved PriorityClass.
type Priority struct {
	Value            int32
	PreemptionPolicy corev1.PreemptionPolicy
}

// containerName is the one container a projected Pod has: it carries the requests.
const containerName = "domain"

// Project shows a VM as the Pod the scheduler shall see, and nil when it shall
// see none: a VM that waits for nothing and holds nothing. The result shares
// memory with vm, which must not be changed afterwards.
func Project(vm *v1alpha1.VirtualMachine, priority Priority) *corev1.Pod {
	if !visible(vm) {
		return nil
	}
	return &corev1.Pod{
		ObjectMeta: projectMeta(vm),
		Spec:       projectSpec(vm, priority),
		Status:     projectStatus(vm),
	}
}

// visible says whether the VM wants a host or holds one. One that shall be paused
// or suspended wants none: it is started on none for that.
func visible(vm *v1alpha1.VirtualMachine) bool {
	if vm.Status.Placement != nil {
		return true
	}
	held := vm.Status.Hold != nil && vm.Status.Hold.Generation == vm.Generation
	runs := vm.Spec.PowerState == v1alpha1.PowerRunning || vm.Spec.PowerState == ""
	return vm.DeletionTimestamp == nil && runs && !vm.RanOnce() && !held
}

// Wants says whether the VM wants a host or holds one.
func Wants(vm *v1alpha1.VirtualMachine) bool { return visible(vm) }

func projectMeta(vm *v1alpha1.VirtualMachine) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Namespace:         vm.Namespace,
		Name:              PodName(vm.Name, vm.Status.Epoch),
		UID:               PodUID(vm.UID, vm.Status.Epoch),
		ResourceVersion:   vm.ResourceVersion,
		Generation:        vm.Generation,
		Labels:            vm.Labels,
		Annotations:       annotations(vm),
		CreationTimestamp: vm.CreationTimestamp,
		DeletionTimestamp: vm.DeletionTimestamp,
	}
	// An eviction has two phases. While the host stops the guest the Pod is
	// terminating: preemption waits for it, and its capacity stays taken.
	if e := vm.Status.Eviction; e != nil && meta.DeletionTimestamp == nil {
		at := e.RequestedAt
		meta.DeletionTimestamp = &at
	}
	return meta
}

func projectSpec(vm *v1alpha1.VirtualMachine, priority Priority) corev1.PodSpec {
	spec := corev1.PodSpec{
		SchedulerName:             schedulerName(vm),
		NodeSelector:              vm.Spec.NodeSelector,
		Affinity:                  withoutHosts(vm.Spec.Affinity, vm.Status.ExcludedHosts),
		Tolerations:               tolerations(vm.Spec.Tolerations),
		TopologySpreadConstraints: vm.Spec.TopologySpreadConstraints,
		PriorityClassName:         vm.Spec.PriorityClassName,
		Priority:                  &priority.Value,
		PreemptionPolicy:          &priority.PreemptionPolicy,
		Containers: []corev1.Container{{
			Name:      containerName,
			Resources: corev1.ResourceRequirements{Requests: requests(capacity.Request(Desired(vm), vm.Status.Placement))},
		}},
	}
	if Member(vm) {
		spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &vm.Spec.SchedulingGroup.PodGroupName}
	}
	if p := vm.Status.Placement; p != nil {
		spec.NodeName = p.NodeName
	}
	return spec
}

// requests are native names: the scheduler reads extended ones through a string
// comparison per node and resource, which cost a third of its throughput.
func requests(r capacity.Resources) corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(r.CPU, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(r.Memory, resource.BinarySI),
	}
	if r.Hugepages2Mi > 0 {
		list[resourceHugepages2Mi] = *resource.NewQuantity(r.Hugepages2Mi, resource.BinarySI)
	}
	if r.Hugepages1Gi > 0 {
		list[resourceHugepages1Gi] = *resource.NewQuantity(r.Hugepages1Gi, resource.BinarySI)
	}
	return list
}

const (
	resourceHugepages2Mi corev1.ResourceName = corev1.ResourceHugePagesPrefix + "2Mi"
	resourceHugepages1Gi corev1.ResourceName = corev1.ResourceHugePagesPrefix + "1Gi"
)

// tolerations adds the one every VM has: of the taint that keeps pods off hosts.
func tolerations(own []corev1.Toleration) []corev1.Toleration {
	all := make([]corev1.Toleration, 0, len(own)+1)
	all = append(all, own...)
	return append(all, corev1.Toleration{Key: v1alpha1.HypervisorTaint, Operator: corev1.TolerationOpExists})
}

// withoutHosts adds to a required node affinity that it be none of the hosts.
// Terms are alternatives, so each one gets the exclusions; a field selector
// bears one value, so each host is a requirement of its own.
func withoutHosts(affinity *corev1.Affinity, hosts []v1alpha1.HostExclusion) *corev1.Affinity {
	if len(hosts) == 0 {
		return affinity
	}
	out := &corev1.Affinity{}
	if affinity != nil {
		out = affinity.DeepCopy()
	}
	if out.NodeAffinity == nil {
		out.NodeAffinity = &corev1.NodeAffinity{}
	}
	required := out.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
		out.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = required
	}
	for i := range required.NodeSelectorTerms {
		for _, h := range hosts {
			required.NodeSelectorTerms[i].MatchFields = append(required.NodeSelectorTerms[i].MatchFields, corev1.NodeSelectorRequirement{
				Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{h.NodeName},
			})
		}
	}
	return out
}

func projectStatus(vm *v1alpha1.VirtualMachine) corev1.PodStatus {
	status := corev1.PodStatus{Phase: corev1.PodPending, NominatedNodeName: vm.Status.NominatedNodeName}
	if vm.Status.Placement != nil {
		status.Phase = corev1.PodRunning
		// Preemption prefers the victim that started last.
		start := vm.CreationTimestamp
		if h := vm.Status.Host; h != nil && h.Epoch == vm.Status.Epoch && h.StartedAt != nil {
			start = *h.StartedAt
		}
		status.StartTime = &start
	}
	for i := range vm.Status.Conditions {
		if c := &vm.Status.Conditions[i]; c.Type == v1alpha1.ConditionScheduled && vm.Status.Placement == nil {
			status.Conditions = append(status.Conditions, podScheduled(c))
		}
	}
	if e := vm.Status.Eviction; e != nil {
		status.Conditions = append(status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: corev1.PodReasonPreemptionByScheduler, Message: e.Message, LastTransitionTime: e.RequestedAt,
		})
	}
	return status
}

// podScheduled is the inverse of vmCondition: what the scheduler wrote must be
// read back unchanged, or it writes it again.
func podScheduled(c *metav1.Condition) corev1.PodCondition {
	return corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionStatus(c.Status), Reason: c.Reason, Message: c.Message,
		ObservedGeneration: c.ObservedGeneration, LastTransitionTime: c.LastTransitionTime,
	}
}

// vmCondition is the Scheduled condition for what the scheduler says of a Pod.
func vmCondition(c *corev1.PodCondition) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionStatus(c.Status), Reason: c.Reason, Message: c.Message,
		ObservedGeneration: c.ObservedGeneration, LastTransitionTime: c.LastTransitionTime,
	}
}

// RequestOf reads back what a projected Pod asks of a host.
func RequestOf(pod *corev1.Pod) capacity.Resources {
	var sum capacity.Resources
	for i := range pod.Spec.Containers {
		r := pod.Spec.Containers[i].Resources.Requests
		value := func(name corev1.ResourceName) int64 {
			q := r[name]
			return q.Value()
		}
		sum = sum.Add(capacity.Resources{
			CPU:          value(corev1.ResourceCPU),
			Memory:       value(corev1.ResourceMemory),
			Hugepages2Mi: value(resourceHugepages2Mi),
			Hugepages1Gi: value(resourceHugepages1Gi),
		})
	}
	return sum
}
