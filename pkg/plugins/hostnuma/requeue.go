package hostnuma

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

// EventsToRegister implements framework.EnqueueExtensions: a VM that no host's
// cells could hold is tried again when a VM gives up something of cells that it
// wants, when a Hypervisor comes to report cells that hold it, and when a Node
// comes to offer enough.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}, QueueingHintFn: p.afterVMLeft},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.UpdatePodScaleDown}, QueueingHintFn: afterVMShrank},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Add}, QueueingHintFn: p.afterVMBound},
		{Event: fwk.ClusterEvent{Resource: fleet.Resource, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: p.afterHostDescribed},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeAllocatable}, QueueingHintFn: p.afterNodeChanged},
	}, nil
}

// afterVMBound queues when the VM that was bound leaves room unused that had
// been made for it on another host: that is as if it had left there.
func (p *plugin) afterVMBound(logger klog.Logger, pod *corev1.Pod, _, newObj any) (fwk.QueueingHint, error) {
	return p.fleet.AfterVMBound(logger, pod, newObj, p.afterVMLeft)
}

// afterVMLeft queues when what left held something that this VM wants: in
// cells, or vCPUs of any kind where this VM wants CPUs to itself.
func (p *plugin) afterVMLeft(logger klog.Logger, pod *corev1.Pod, oldObj, _ any) (fwk.QueueingHint, error) {
	left, isVM, err := fleet.AsLeft(oldObj)
	if err != nil {
		return fwk.Queue, err
	}
	if !isVM {
		return fwk.QueueSkip, nil
	}
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	held, err := p.held(left)
	if err != nil {
		return fwk.Queue, err
	}
	if !frees(held, podless.RequestOf(left), &request) {
		logger.V(5).Info("VM left a host and freed nothing in cells that this VM asks for", "pod", klog.KObj(pod), "left", klog.KObj(left))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterVMShrank queues when a VM holds fewer vCPUs and this VM wants CPUs to
// itself: what else a VM can give back lies in no cell.
func afterVMShrank(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	freed, err := fleet.AsShrunk(oldObj, newObj)
	if err != nil {
		return fwk.Queue, err
	}
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	if !frees(nil, freed, &request) {
		logger.V(5).Info("VM holds less, and no CPU that this VM wants to itself", "pod", klog.KObj(pod))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// held is the placement of a VM that has left; nil when it was bound to no cell.
func (p *plugin) held(left *corev1.Pod) (*v1alpha1.Placement, error) {
	if text := podless.PlacementTextOf(left); text != "" {
		return podless.ParsePlacement(text)
	}
	// One whose binding failed is not seen with its placement.
	if reserved := p.fleet.Reserved(left); reserved != nil {
		return reserved, nil
	}
	request, err := podless.NUMARequestOf(left)
	if err != nil || request.Floats() {
		return nil, err
	}
	// It was promised room and had no place yet: take it for all that it wants.
	return &v1alpha1.Placement{Granted: request.Granted, Cells: []v1alpha1.PlacedCell{{CPU: request.Granted.CPU, Memory: request.Granted.Memory}}}, nil
}

// frees says whether the end of a placement (nil: one that floats) gives back
// something that r could not have beside it.
func frees(held *v1alpha1.Placement, amounts capacity.Resources, r *numa.Request) bool {
	if r.Dedicated() && amounts.CPU > 0 {
		return true
	}
	if held == nil {
		return false
	}
	for _, d := range held.Devices {
		for _, want := range r.Devices {
			if d.Name == want.Name {
				return true
			}
		}
	}
	for _, c := range held.Cells {
		if c.CPU > 0 || c.Memory > 0 && held.Granted.PageSize == r.Granted.PageSize {
			return true
		}
	}
	return false
}

// afterHostDescribed queues when the VM fits on the host as it is described
// now, were it empty, and something that a VM could want there has changed.
func (p *plugin) afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	now, err := fleet.AsHypervisor(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	topology, err := numa.FromHypervisor(&now.Status)
	if err != nil || !numa.Fits(numa.NewUsage(&topology), &request) {
		logger.V(5).Info("Hypervisor changed and its cells do not hold this VM even when empty", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now))
		return fwk.QueueSkip, nil
	}
	if oldObj != nil {
		if before, err := fleet.AsHypervisor(oldObj); err == nil && fleet.SameOffer(&before.Status, &now.Status) {
			logger.V(5).Info("Hypervisor changed and its cells are the same", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now))
			return fwk.QueueSkip, nil
		}
	}
	return fwk.Queue, nil
}

// afterNodeChanged queues when the Node now offers enough in all, and offers
// more than it did: it may have been what limited the host.
func (p *plugin) afterNodeChanged(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	node, ok := newObj.(*corev1.Node)
	if !ok {
		return fwk.Queue, fmt.Errorf("expected a Node that changed, got %T", newObj)
	}
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	now := capacity.FromList(node.Status.Allocatable)
	if !capacity.Fits(now, request.Totals()) {
		logger.V(5).Info("host changed and is too small for this VM", "pod", klog.KObj(pod), "node", klog.KObj(node))
		return fwk.QueueSkip, nil
	}
	if before, ok := oldObj.(*corev1.Node); ok && before != nil {
		if more := now.Sub(capacity.FromList(before.Status.Allocatable)); more.Floor() == (capacity.Resources{}) {
			logger.V(5).Info("host changed and offers no more", "pod", klog.KObj(pod), "node", klog.KObj(node))
			return fwk.QueueSkip, nil
		}
	}
	return fwk.Queue, nil
}
