package fleet

import (
	"hash/maphash"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// account is what is held on a host, counted from one state of its NodeInfo.
// It is never changed once others can see it.
type account struct {
	state accountState
	// topology is the host with the smaller amounts of Hypervisor and Node.
	topology numa.Host
	// usage is with the VMs there, empty without.
	usage, empty *numa.Usage

	memo memo
}

// accountState tells two states of a host apart.
type accountState struct {
	host       *host
	generation int64
	// vms tells apart what the scheduler changes in its snapshot without a new
	// generation; 0 outside of a group's cycle, where it changes nothing.
	vms uint64
}

var seed = maphash.MakeSeed()

// Usage is the account of a host with the VMs that node shows on it: bound,
// assumed and, while one makes room for another, nominated. It must not be
// changed. It is false for a Node without an executor.
//
// It is counted anew only when the NodeInfo or the Hypervisor has changed. What
// a preemption tries on a copy of the NodeInfo, removing and adding VMs, is
// such a change, so a dry run is counted like the real thing. In the cycle of a
// group the scheduler keeps the generation while it tries the group's members
// one by one; there the VMs themselves are compared.
func (f *Fleet) Usage(cs fwk.CycleState, node fwk.NodeInfo) (*numa.Usage, bool) {
	a := f.account(cs, node)
	if a == nil {
		return nil, false
	}
	return a.usage, true
}

// Empty is the account of a host without any VM: what does not fit there will
// not fit by eviction either. It must not be changed. It is false where Usage is.
func (f *Fleet) Empty(cs fwk.CycleState, node fwk.NodeInfo) (*numa.Usage, bool) {
	a := f.account(cs, node)
	if a == nil {
		return nil, false
	}
	return a.empty, true
}

func (f *Fleet) account(cs fwk.CycleState, node fwk.NodeInfo) *account {
	if node.Node() == nil {
		return nil
	}
	name := node.Node().Name
	state := accountState{generation: node.GetGeneration()}
	if cs != nil && cs.IsPodGroupSchedulingCycle() {
		state.vms = fingerprint(node)
	}
	if known, ok := f.accounts.Load(name); ok {
		a := known.(*account)
		state.host = a.state.host
		if a.state == state && !state.host.superseded.Load() {
			return a
		}
	}
	state.host = f.host(name)
	a := f.count(node, state)
	if a != nil {
		f.accounts.Store(name, a)
	}
	return a
}

// fingerprint is of the Pods on a node, in any order; never 0.
func fingerprint(node fwk.NodeInfo) uint64 {
	sum := uint64(1)
	for _, info := range node.GetPods() {
		sum += maphash.String(seed, string(info.GetPod().UID))
	}
	return max(sum, 1)
}

func (f *Fleet) count(node fwk.NodeInfo, state accountState) *account {
	a := &account{state: state}
	var ok bool
	if a.topology, ok = topology(node, state.host); !ok {
		return nil
	}
	a.empty = numa.NewUsage(&a.topology)
	a.usage = numa.NewUsage(&a.topology)
	f.add(a.usage, node, nil)
	return a
}

// topology is the host as Hypervisor and Node report it; where they differ the
// smaller amounts count, and where the Hypervisor contradicts itself there are
// no cells. It is false for a Node without an executor, and as long as there is
// no Hypervisor: the Node alone does not tell what its cells hold.
func topology(node fwk.NodeInfo, h *host) (numa.Host, bool) {
	allocatable, ok := podless.Allocatable(node)
	switch {
	case !ok || h == nil:
		return numa.Host{}, false
	case h.err != nil:
		return numa.Flat(capacity.FromHost(h.hypervisor.Status.Allocatable)).Limit(allocatable), true
	}
	return h.topology.Limit(allocatable), true
}

// add counts the VMs of node, but those in without. VMs whose place is known go
// first; then those that are only promised the host (nominated) lie where they
// would be put now.
func (f *Fleet) add(u *numa.Usage, node fwk.NodeInfo, without map[types.UID]bool) {
	var promised []numa.Request
	for _, info := range node.GetPods() {
		pod := info.GetPod()
		if !podless.IsProjected(pod.Name) || without[pod.UID] {
			continue
		}
		placement := f.placementOf(pod)
		if placement != nil && u.Add(placement) == nil {
			continue
		}
		request, err := podless.NUMARequestOf(pod)
		if err != nil || placement != nil || request.Floats() {
			// Also what cannot be read is held somewhere on the host.
			u.AddFloating(podless.HeldBy(info))
			continue
		}
		promised = append(promised, request)
	}
	for i := range promised {
		r := &promised[i]
		a, short := numa.Choose(u, r)
		p := r.Placement(node.Node().Name, a)
		if short != nil || u.Add(&p) != nil {
			u.AddFloating(r.Amounts())
		}
	}
}

// placementOf is where the VM lies, by what its Pod says or else by what was
// reserved for it; nil when neither is known, or cannot be read.
func (f *Fleet) placementOf(pod *corev1.Pod) *v1alpha1.Placement {
	if f.reads {
		return f.readPlacementOf(pod)
	}
	placement, err := f.placements.of(pod)
	if placement != nil {
		// The Pod says it itself now.
		f.reservations.remove(pod.UID)
	} else if err == nil {
		placement = f.reservations.get(pod.UID)
	}
	return placement
}
