package hostcompatibility

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// EventsToRegister implements framework.EnqueueExtensions: a VM that no host
// could run is tried again when a Hypervisor comes to offer all that it demands,
// when a Node appears whose Hypervisor does, and when the VM itself comes to
// demand something else.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fleet.Resource, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: p.afterHostDescribed},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add}, QueueingHintFn: p.afterNodeAdded},
		{Event: fwk.ClusterEvent{Resource: fwk.TargetPod, ActionType: fwk.Update}, QueueingHintFn: afterVMChanged},
	}, nil
}

// afterHostDescribed queues when the host meets the VM's demands now and did not
// before.
func (p *plugin) afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	now, err := fleet.AsHypervisor(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	demands, err := demandsOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	if lacking := demands.unmet(&now.Status); lacking != nil {
		logger.V(5).Info("Hypervisor changed and lacks what this VM demands", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now), "lacks", lacking.what)
		return fwk.QueueSkip, nil
	}
	if oldObj != nil {
		if before, err := fleet.AsHypervisor(oldObj); err == nil && demands.unmet(&before.Status) == nil {
			logger.V(5).Info("Hypervisor changed and met this VM's demands before", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now))
			return fwk.QueueSkip, nil
		}
	}
	return fwk.Queue, nil
}

// afterNodeAdded skips only Nodes whose Hypervisor is known to lack something:
// the queue's watch of Nodes may be ahead of that of Hypervisors.
func (p *plugin) afterNodeAdded(logger klog.Logger, pod *corev1.Pod, _, newObj any) (fwk.QueueingHint, error) {
	node, ok := newObj.(*corev1.Node)
	if !ok {
		return fwk.Queue, fmt.Errorf("expected a Node that appeared, got %T", newObj)
	}
	demands, err := demandsOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	if hv := p.fleet.Hypervisor(node.Name); hv != nil && demands.unmet(&hv.Status) != nil {
		logger.V(5).Info("Node appeared and its Hypervisor lacks what this VM demands", "pod", klog.KObj(pod), "node", klog.KObj(node))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterVMChanged queues when the VM itself demands something else than before.
func afterVMChanged(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	before, ok := oldObj.(*corev1.Pod)
	now, ok2 := newObj.(*corev1.Pod)
	if !ok || !ok2 {
		return fwk.Queue, fmt.Errorf("expected a VM that changed, got %T and %T", oldObj, newObj)
	}
	if podless.GuestOf(before.Annotations).Kind() != podless.GuestOf(now.Annotations).Kind() {
		return fwk.Queue, nil
	}
	had, err := devicesOf(before)
	if err != nil {
		return fwk.Queue, err
	}
	wants, err := devicesOf(now)
	if err != nil || !slices.Equal(had, wants) {
		return fwk.Queue, err
	}
	logger.V(5).Info("VM changed and demands the same of hosts", "pod", klog.KObj(pod))
	return fwk.QueueSkip, nil
}
