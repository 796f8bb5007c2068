package hostheadroom

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// refresh reads a host anew: its VMs, what is free, and whether what was
// claimed there is still good.
func (p *planner) refresh(h *host, node fwk.NodeInfo, u *numa.Usage) {
	before := *h
	h.node, h.usage, h.free = node.Node(), u, u.Free()
	h.threads, h.taints = threadsOf(u.Host()), taintsOf(h.node)
	same := before.node != nil && sameRules(before.node, h.node) &&
		before.threads == h.threads && before.usage.Host().Overcommit == u.Host().Overcommit
	if f := p.failureOf(h.node); f != h.failure {
		p.leave(h)
		h.failure = f
		f.hosts++
	}
	p.readVMs(h, node)
	if !same || h.free.Sub(before.free).Floor() != (capacity.Resources{}) {
		p.grown = append(p.grown, h)
	}
	if len(h.kept.claims) > 0 && (!same || !h.kept.fits(h)) {
		p.check(h)
	}
}

// sameRules says whether both Nodes admit the same VMs and fail with the same.
func sameRules(a, b *corev1.Node) bool {
	return a.Spec.Unschedulable == b.Spec.Unschedulable && slices.Equal(a.Spec.Taints, b.Spec.Taints) && maps.Equal(a.Labels, b.Labels)
}

// failureOf is what the Node fails with.
func (p *planner) failureOf(node *corev1.Node) *failure {
	name := "host " + node.Name
	if value, ok := node.Labels[p.topologyKey]; ok && p.topologyKey != "" {
		name = p.topologyKey + " " + value
	}
	f := p.failures[name]
	if f == nil {
		f = &failure{name: name}
		p.failures[name] = f
	}
	return f
}

// readVMs takes over which VMs are on the host. One that is being stopped for
// good or for another VM is not restarted where it was. What a VM is to have more
// is no VM by itself: once it is granted that VM is larger.
func (p *planner) readVMs(h *host, node fwk.NodeInfo) {
	now := make(map[types.UID]*vm, len(h.vms))
	for _, info := range node.GetPods() {
		pod := info.GetPod()
		if !podless.IsProjected(pod.Name) || podless.IsGrowth(pod.Name) || pod.DeletionTimestamp != nil {
			continue
		}
		amounts := podless.HeldBy(info)
		v := h.vms[pod.UID]
		if v == nil || v.amounts != amounts || v.placement != podless.PlacementTextOf(pod) {
			v = newVM(pod, amounts)
		}
		now[pod.UID] = v
	}
	for uid, v := range h.vms {
		if now[uid] != v {
			p.forget(h.failure, v)
		}
	}
	for uid, v := range now {
		if h.vms[uid] != v {
			p.expect(h.failure, v)
		}
	}
	h.vms = now
}
