package hostheadroom

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/plugins/fleet"
)

// EventsToRegister implements framework.EnqueueExtensions: a VM that the promise
// keeps waiting is tried again when a VM leaves any host, or room that was made
// for it, and when a host appears, comes to offer more or comes to take other
// VMs. Each may leave room for other VMs' restarts, and thereby for this one
// anywhere.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}, QueueingHintFn: afterVMLeft},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.UpdatePodScaleDown}, QueueingHintFn: afterVMShrank},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Add}, QueueingHintFn: p.afterVMBound},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeAllocatable | fwk.UpdateNodeTaint | fwk.UpdateNodeLabel}, QueueingHintFn: afterNodeChanged},
		{Event: fwk.ClusterEvent{Resource: fleet.Resource, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: afterHostDescribed},
	}, nil
}

// afterVMLeft queues when what left was a VM: it held a host, or was on its way
// to one.
func afterVMLeft(logger klog.Logger, pod *corev1.Pod, oldObj, _ any) (fwk.QueueingHint, error) {
	left, isVM, err := fleet.AsLeft(oldObj)
	if err != nil {
		return fwk.Queue, err
	}
	if !isVM {
		logger.V(5).Info("what left held nothing that VMs may use", "pod", klog.KObj(pod), "left", klog.KObj(left))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterVMShrank queues when a VM holds less of anything.
func afterVMShrank(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	freed, err := fleet.AsShrunk(oldObj, newObj)
	if err != nil {
		return fwk.Queue, err
	}
	if freed == (capacity.Resources{}) {
		logger.V(5).Info("VM holds no less", "pod", klog.KObj(pod))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterVMBound queues when the VM that was bound leaves room unused that had
// been made for it on another host.
func (p *plugin) afterVMBound(logger klog.Logger, pod *corev1.Pod, _, newObj any) (fwk.QueueingHint, error) {
	return p.fleet.AfterVMBound(logger, pod, newObj, afterVMLeft)
}

// afterNodeChanged queues when the Node offers more of anything, or when other
// VMs may run there, or fail with it, than before.
func afterNodeChanged(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	node, ok := newObj.(*corev1.Node)
	if !ok {
		return fwk.Queue, fmt.Errorf("expected a Node that changed, got %T", newObj)
	}
	now, before := capacity.FromList(node.Status.Allocatable), capacity.Resources{}
	old, ok := oldObj.(*corev1.Node)
	if ok && old != nil {
		before = capacity.FromList(old.Status.Allocatable)
		if !equality.Semantic.DeepEqual(old.Spec.Taints, node.Spec.Taints) || old.Spec.Unschedulable != node.Spec.Unschedulable || !maps.Equal(old.Labels, node.Labels) {
			return fwk.Queue, nil
		}
	}
	if now.Sub(before).Floor() == (capacity.Resources{}) {
		logger.V(5).Info("host changed and offers no more", "pod", klog.KObj(pod), "node", klog.KObj(node))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterHostDescribed queues when what a host offers, in all or by cells, is
// described differently than before.
func afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	now, err := fleet.AsHypervisor(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	before, err := fleet.AsHypervisor(oldObj)
	if err != nil {
		return fwk.Queue, nil // it is new
	}
	if fleet.SameOffer(&before.Status, &now.Status) {
		logger.V(5).Info("Hypervisor changed and offers the same", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}
