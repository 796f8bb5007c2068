package hostresources

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// EventsToRegister implements framework.EnqueueExtensions: a VM that no host
// could hold is tried again when another VM leaves a host or holds less, when a host appears
// or when a host comes to offer more, on its Node or in its Hypervisor: the
// smaller of both counts.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}, QueueingHintFn: p.afterVMLeft},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.UpdatePodScaleDown}, QueueingHintFn: afterVMShrank},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Add}, QueueingHintFn: p.afterVMBound},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeAllocatable}, QueueingHintFn: p.afterHostChanged},
		{Event: fwk.ClusterEvent{Resource: fleet.Resource, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: p.afterHostDescribed},
	}, nil
}

// afterVMBound queues when the VM that was bound leaves room unused that had
// been made for it on another host: that is as if it had left there.
func (p *plugin) afterVMBound(logger klog.Logger, pod *corev1.Pod, _, newObj any) (fwk.QueueingHint, error) {
	return p.fleet.AfterVMBound(logger, pod, newObj, p.afterVMLeft)
}

// afterVMLeft queues when what left was a VM that held, or was promised,
// something this VM asks for. A real Pod frees nothing that VMs may use. The
// event is also about VMs that are deleted on their way to a host: those show
// neither a host nor a nomination.
func (*plugin) afterVMLeft(logger klog.Logger, pod *corev1.Pod, oldObj, _ any) (fwk.QueueingHint, error) {
	left, isVM, err := fleet.AsLeft(oldObj)
	if err != nil {
		return fwk.Queue, err
	}
	if !isVM {
		return fwk.QueueSkip, nil
	}
	if !overlaps(podless.RequestOf(left), podless.RequestOf(pod)) {
		logger.V(5).Info("VM left a host and freed nothing this VM asks for", "pod", klog.KObj(pod), "left", klog.KObj(left))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterVMShrank queues when a VM holds less of something this VM asks for.
func afterVMShrank(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	freed, err := fleet.AsShrunk(oldObj, newObj)
	if err != nil {
		return fwk.Queue, err
	}
	if !overlaps(freed, podless.RequestOf(pod)) {
		logger.V(5).Info("VM holds less, and nothing less of what this VM asks for", "pod", klog.KObj(pod))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterHostChanged queues when a host now offers enough in all for this VM, and
// offers more than it did of something this VM asks for.
func (*plugin) afterHostChanged(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	host, ok := newObj.(*corev1.Node)
	if !ok {
		return fwk.Queue, fmt.Errorf("expected a Node that changed, got %T", newObj)
	}
	var before *capacity.Resources
	if old, ok := oldObj.(*corev1.Node); ok && old != nil {
		r := capacity.FromList(old.Status.Allocatable)
		before = &r
	}
	return offersMore(logger, pod, before, capacity.FromList(host.Status.Allocatable), klog.KObj(host))
}

// afterHostDescribed is afterHostChanged for what the Hypervisor says.
func (*plugin) afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	now, err := fleet.AsHypervisor(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	var before *capacity.Resources
	if old, err := fleet.AsHypervisor(oldObj); err == nil {
		r := described(old)
		before = &r
	}
	return offersMore(logger, pod, before, described(now), klog.KObj(now))
}

// described is what of a host its Hypervisor lets VMs have in sum. One that
// contradicts itself does not count: the Node's amounts do then.
func described(hv *v1alpha1.Hypervisor) capacity.Resources {
	host, err := numa.FromHypervisor(&hv.Status)
	if err != nil {
		return capacity.FromHost(hv.Status.Allocatable)
	}
	return host.Allocatable
}

// offersMore queues when a host offers enough in all for the VM, and more than
// it did before (nil: it is new) of something the VM asks for.
func offersMore(logger klog.Logger, pod *corev1.Pod, before *capacity.Resources, now capacity.Resources, host klog.ObjectRef) (fwk.QueueingHint, error) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	// How many vCPUs dedicated CPUs cost depends on the host's overcommit.
	if !capacity.Fits(now, request.Totals()) {
		logger.V(5).Info("host changed and is still too small for this VM", "pod", klog.KObj(pod), "node", host)
		return fwk.QueueSkip, nil
	}
	if before != nil && !overlaps(now.Sub(*before), request.Amounts()) {
		logger.V(5).Info("host changed and offers no more of what this VM asks for", "pod", klog.KObj(pod), "node", host)
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// overlaps says whether both amounts hold something of a common resource.
func overlaps(a, b capacity.Resources) bool {
	return a.CPU > 0 && b.CPU > 0 || a.Memory > 0 && b.Memory > 0 ||
		a.Hugepages2Mi > 0 && b.Hugepages2Mi > 0 || a.Hugepages1Gi > 0 && b.Hugepages1Gi > 0
}
