package hostheadroom

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

const stateKey fwk.StateKey = "PreFilter" + Name

// state is the VM to be placed, in one scheduling cycle.
type state struct {
	vm         *vm
	candidates []*host
	// without are the VMs that a preemption tries to remove: nobody has to
	// restart them with their host.
	without []*vm
}

// Clone implements framework.StateData. A preemption removes other VMs from
// each host.
func (s *state) Clone() fwk.StateData {
	c := *s
	c.without = slices.Clone(s.without)
	return &c
}

func read(cs fwk.CycleState) (*state, *fwk.Status) {
	data, err := cs.Read(stateKey)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return data.(*state), nil
}

// PreFilterExtensions implements framework.PreFilterPlugin.
func (p *plugin) PreFilterExtensions() fwk.PreFilterExtensions { return p }

// RemovePod implements framework.PreFilterExtensions. What the VM frees on its
// host is counted from the NodeInfo.
func (p *plugin) RemovePod(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, removed fwk.PodInfo, node fwk.NodeInfo) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return status
	}
	if v := p.known(removed, node); v != nil {
		s.without = append(s.without, v)
	}
	return nil
}

// AddPod implements framework.PreFilterExtensions: it takes back RemovePod. One
// that is nominated, and was never removed, has no plan yet.
func (p *plugin) AddPod(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, added fwk.PodInfo, node fwk.NodeInfo) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return status
	}
	if v := p.known(added, node); v != nil {
		s.without = slices.DeleteFunc(s.without, func(gone *vm) bool { return gone == v })
	}
	return nil
}

// known is the VM as the plans know it on the host; nil where they do not.
func (p *plugin) known(info fwk.PodInfo, node fwk.NodeInfo) *vm {
	if h := p.planner.hosts[node.Node().Name]; h != nil {
		return h.vms[info.GetPod().UID]
	}
	return nil
}
