package networkreach

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// EventsToRegister implements framework.EnqueueExtensions: a VM that waits for a
// network, or for a host that can have it, is tried again when one of its networks
// appears, changes or goes; when a host's interfaces change, or it gives a network
// up; when a Node appears or its labels change; when a VM with a card of the same
// address gives its host up or the address; and when its own cards change.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: Resource, ActionType: fwk.Add | fwk.Update | fwk.Delete}, QueueingHintFn: p.afterNetworkChanged},
		{Event: fwk.ClusterEvent{Resource: fleet.Resource, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: p.afterHostDescribed},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeLabel}, QueueingHintFn: p.afterNodeChanged},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Update | fwk.Delete}, QueueingHintFn: p.afterVMLeft},
		{Event: fwk.ClusterEvent{Resource: fwk.TargetPod, ActionType: fwk.Update}, QueueingHintFn: p.afterVMChanged},
	}, nil
}

// afterNetworkChanged queues when the network is one of the VM's, and has changed in
// what a VM is placed by.
func (p *plugin) afterNetworkChanged(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	cards, err := podless.InterfacesOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	changed := newObj
	if newObj == nil {
		changed = oldObj
	}
	network, ok := changed.(*v1alpha1.VirtualNetwork)
	if !ok {
		return fwk.Queue, fmt.Errorf("expected a VirtualNetwork that changed, got %T", changed)
	}
	if network.Namespace != pod.Namespace || !slices.ContainsFunc(cards, func(c podless.Interface) bool { return c.Network == network.Name }) {
		logger.V(5).Info("VirtualNetwork changed and is nothing to this VM", "pod", klog.KObj(pod), "virtualNetwork", klog.KObj(network))
		return fwk.QueueSkip, nil
	}
	if before, is := oldObj.(*v1alpha1.VirtualNetwork); is && newObj != nil && before.UID == network.UID &&
		(before.DeletionTimestamp == nil) == (network.DeletionTimestamp == nil) && equality.Semantic.DeepEqual(before.Spec, network.Spec) &&
		equality.Semantic.DeepEqual(before.Status.Definition, network.Status.Definition) {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterHostDescribed queues when the host's interfaces or networks have changed, and
// it can have all of the VM's now.
func (p *plugin) afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	now, err := fleet.AsHypervisor(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	if before, is := oldObj.(*v1alpha1.Hypervisor); is && slices.Equal(before.Status.Interfaces, now.Status.Interfaces) && slices.Equal(before.Status.Networks, now.Status.Networks) &&
		slices.Equal(before.Status.CNINetworks, now.Status.CNINetworks) && slices.Equal(before.Status.CNIPlugins, now.Status.CNIPlugins) {
		logger.V(5).Info("Hypervisor changed and can have no other networks", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now))
		return fwk.QueueSkip, nil
	}
	cards, err := podless.InterfacesOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	vm, _ := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	p.networks.mu.RLock()
	defer p.networks.mu.RUnlock()
	demand, why := p.networks.demandOf(pod.UID, vm, cards)
	if why != "" {
		return fwk.QueueSkip, nil // it is not a host that is wanting
	}
	for _, n := range demand.networks {
		if n.need.Lacks(&now.Status) != nil {
			logger.V(5).Info("Hypervisor changed and cannot have a network of this VM", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now), "virtualNetwork", klog.KObj(n))
			return fwk.QueueSkip, nil
		}
	}
	return fwk.Queue, nil
}

// afterNodeChanged queues when a network of the VM selects Nodes by labels, or the
// Node is new.
func (p *plugin) afterNodeChanged(logger klog.Logger, pod *corev1.Pod, oldObj, _ any) (fwk.QueueingHint, error) {
	if oldObj == nil {
		return fwk.Queue, nil
	}
	cards, err := podless.InterfacesOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	p.networks.mu.RLock()
	defer p.networks.mu.RUnlock()
	for _, c := range cards {
		if n := p.networks.networks[key(pod.Namespace, c.Network)]; n != nil && len(n.Spec.NodeSelector) > 0 {
			return fwk.Queue, nil
		}
	}
	logger.V(5).Info("Node's labels changed and no network of this VM selects by them", "pod", klog.KObj(pod))
	return fwk.QueueSkip, nil
}

// afterVMLeft queues when the VM that left, or has other cards now, had an address of
// this one's.
func (p *plugin) afterVMLeft(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	left, isVM, err := fleet.AsLeft(oldObj)
	if err != nil {
		return fwk.Queue, err
	}
	if !isVM || podless.InterfacesTextOf(left) == "" {
		return fwk.QueueSkip, nil
	}
	if now, is := newObj.(*corev1.Pod); is && podless.InterfacesTextOf(now) == podless.InterfacesTextOf(left) {
		return fwk.QueueSkip, nil
	}
	mine, err := podless.InterfacesOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	its, err := podless.InterfacesOf(left)
	if err != nil {
		return fwk.Queue, err
	}
	if slices.ContainsFunc(its, func(i podless.Interface) bool {
		return slices.ContainsFunc(mine, func(m podless.Interface) bool { return m.MAC == i.MAC })
	}) {
		return fwk.Queue, nil
	}
	logger.V(5).Info("VM left a host and had none of this VM's addresses", "pod", klog.KObj(pod), "left", klog.KObj(left))
	return fwk.QueueSkip, nil
}

// afterVMChanged queues when the VM's own cards have changed.
func (*plugin) afterVMChanged(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	before, ok := oldObj.(*corev1.Pod)
	now, ok2 := newObj.(*corev1.Pod)
	if !ok || !ok2 {
		return fwk.Queue, fmt.Errorf("expected a VM that changed, got %T and %T", oldObj, newObj)
	}
	if podless.InterfacesTextOf(before) != podless.InterfacesTextOf(now) {
		return fwk.Queue, nil
	}
	logger.V(5).Info("VM changed and has the same cards", "pod", klog.KObj(pod))
	return fwk.QueueSkip, nil
}
