package vmpreemption

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/hostcompatibility"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/podless"
)

// PostFilter implements framework.PostFilterPlugin. A VM that no host could
// hold even when empty is said so, and one whose kind of guest no host runs,
// with what there is: neither waiting nor eviction will help it. For any other,
// kube-scheduler looks for VMs to evict.
func (p *plugin) PostFilter(ctx context.Context, cs fwk.CycleState, pod *corev1.Pod, rejected fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	why, err := Never(p.fleet, p.nodes, cs, pod, rejected)
	switch {
	case err != nil:
		return nil, fwk.AsStatus(err)
	case why != "":
		return noRoom(), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, why)
	}
	result, status := p.DefaultPreemption.PostFilter(ctx, cs, pod, rejected)
	if result == nil && pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy == corev1.PreemptNever {
		result = noRoom()
	}
	if result != nil && result.NominatingInfo != nil && result.NominatedNodeName != "" {
		p.fleet.Promised(pod, result.NominatedNodeName)
	}
	return result, retell(status)
}

// noRoom takes back that room is kept for a VM on the host that it gave up since
// it asks for another place: it does not fit there, nor will anybody make way.
func noRoom() *fwk.PostFilterResult { return framework.NewPostFilterResultWithNominatedNode("") }

// Never says why no host will ever take the VM as they all are, or "". All hosts
// have rejected it.
func Never(f *fleet.Fleet, nodes fwk.NodeInfoLister, cs fwk.CycleState, pod *corev1.Pod, rejected fwk.NodeToStatusReader) (string, error) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return "", err
	}
	// Hosts that are full, or kept from the VM by others, may take it later, but
	// for those that could not even when empty.
	small, err := rejected.NodesForStatusCode(nodes, fwk.Unschedulable)
	if err != nil || len(small) > 0 && !f.Impossible(cs, &request, small) {
		return "", err
	}
	final, err := rejected.NodesForStatusCode(nodes, fwk.UnschedulableAndUnresolvable)
	if err != nil {
		return "", err
	}
	// Hosts that the VM does not want, or that are out of service, say nothing
	// about its size or its kind of guest: they are none that it may use.
	var unfit []fwk.NodeInfo
	for _, node := range final {
		switch rejected.Get(node.Node().Name).Plugin() {
		case hostcompatibility.Name:
			unfit = append(unfit, node)
		case hostresources.Name, hostnuma.Name:
			small = append(small, node)
		}
	}
	if len(unfit) > 0 {
		// Where a host that is too small is of the right kind, size is what matters.
		if why := hostcompatibility.Alternatives(f, pod, append(unfit, small...)); why != "" {
			return why, nil
		}
	}
	if f.Impossible(cs, &request, small) {
		return TooLarge, nil
	}
	return "", nil
}
