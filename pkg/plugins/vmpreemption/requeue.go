package vmpreemption

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/plugins/fleet"
)

// EventsToRegister implements framework.EnqueueExtensions.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}, QueueingHintFn: p.afterVMLeft},
	}, nil
}

// afterVMLeft queues a VM that was held back while others were evicted for it
// when one of them has left. kube-scheduler leaves that to the plugins that had
// turned the VM away; but one whose spec is edited meanwhile enters the queue
// anew, is held back at once, and no other plugin has seen it yet: it would wait
// for ever.
func (p *plugin) afterVMLeft(_ klog.Logger, pod *corev1.Pod, oldObj, _ any) (fwk.QueueingHint, error) {
	left, isVM, err := fleet.AsLeft(oldObj)
	if err != nil {
		return fwk.Queue, err
	}
	host := p.fleet.PromisedTo(pod)
	if isVM && (host == "" || left.Spec.NodeName == "" || left.Spec.NodeName == host) {
		return fwk.Queue, nil
	}
	return fwk.QueueSkip, nil
}
