package hostnuma

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/podless"
)

// Reserve implements framework.ReservePlugin: the cells, CPUs and devices are
// chosen here, once, and held for VMBinder to write.
func (p *plugin) Reserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, nodeName string) *fwk.Status {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return fwk.AsStatus(err)
	}
	if request.Floats() {
		return nil
	}
	node, err := p.handle.SnapshotSharedLister().NodeInfos().Get(nodeName)
	if err != nil {
		return fwk.AsStatus(fmt.Errorf("reading the chosen host: %w", err))
	}
	if short := p.fleet.Reserve(pod, &request, node); short != nil {
		// The host has changed since Filter looked at it.
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("host %s: %s", nodeName, short))
	}
	return nil
}

// Unreserve implements framework.ReservePlugin.
func (p *plugin) Unreserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, _ string) {
	p.fleet.Unreserve(pod)
}
