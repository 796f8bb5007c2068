package hostheadroom

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

// TestNoRestartIsLost places VMs wherever Filter lets them, removes some, closes
// hosts and opens them again, and holds the plans against the hosts as they are
// after each step.
func TestNoRestartIsLost(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFleet(t)
		topologyKey := rapid.SampledFrom([]string{"", "rack"}).Draw(r, "topologyKey")
		p := newPlugin(f, topologyKey)
		var nodes []*framework.NodeInfo
		for i := range rapid.IntRange(1, 7).Draw(r, "hosts") {
			n := node(fmt.Sprintf("host-%d", i), func(n *corev1.Node) {
				n.Status.Allocatable = capacity.Resources{
					CPU: rapid.Int64Range(2, 12).Draw(r, "cpus") * 2, Memory: rapid.Int64Range(4, 40).Draw(r, "memory") * 2 * gib,
				}.List()
				n.Labels["rack"] = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "rack")
			})
			describe(f, n, rapid.SampledFrom([]int{0, 2}).Draw(r, "cells"))
			nodes = append(nodes, n)
		}
		for i := range rapid.IntRange(5, 40).Draw(r, "steps") {
			n := rapid.SampledFrom(nodes).Draw(r, "host")
			lost := false
			switch step := rapid.IntRange(0, 11).Draw(r, "step"); {
			case step == 0 && len(n.GetPods()) > 0:
				gone := rapid.SampledFrom(n.GetPods()).Draw(r, "VM").GetPod()
				if err := n.RemovePod(klog.Background(), gone); err != nil {
					r.Fatal(err)
				}
			case step == 1:
				changed := n.Node().DeepCopy()
				changed.Spec.Unschedulable = !changed.Spec.Unschedulable
				n.SetNode(changed)
				lost = changed.Spec.Unschedulable
			default:
				place(t, r, p, nodes, drawVM(r, i))
			}
			before := p.planner.homeless
			p.planner.update(list(nodes...), false, func(n fwk.NodeInfo) (*numa.Usage, bool) { return f.Usage(nil, n) })
			checkPlans(r, p.planner)
			if p.planner.homeless > before && !lost {
				r.Fatalf("%d VMs cannot be restarted, %d before", p.planner.homeless, before)
			}
		}
	})
}

func drawVM(r *rapid.T, i int) *corev1.Pod {
	change := []func(*v1alpha1.VirtualMachine){sized(rapid.Int32Range(1, 6).Draw(r, "vCPUs"), rapid.Int64Range(1, 16).Draw(r, "GiB"))}
	switch rapid.IntRange(0, 5).Draw(r, "policy") {
	case 0:
		change = append(change, singleCell)
	case 1:
		change = append(change, dedicated)
	case 2:
		change = append(change, singleCell, dedicated)
	}
	return newTestVM(fmt.Sprintf("vm-%d", i), change...)
}

// place binds the VM to any of the hosts that take it.
func place(t *testing.T, r *rapid.T, p *plugin, nodes []*framework.NodeInfo, pod *corev1.Pod) {
	cs := framework.NewCycleState()
	if _, status := p.PreFilter(t.Context(), cs, pod, list(nodes...)); !status.IsSuccess() {
		r.Fatal(status)
	}
	checkPlans(r, p.planner)
	s, _ := read(cs)
	var taking []*framework.NodeInfo
	for _, n := range nodes {
		u, _ := p.fleet.Usage(cs, n)
		if !n.Node().Spec.Unschedulable && numa.Fits(u, &s.vm.request) && p.Filter(t.Context(), cs, pod, n).IsSuccess() {
			taking = append(taking, n)
		}
	}
	if len(taking) > 0 {
		bind(t, p.fleet, rapid.SampledFrom(taking).Draw(r, "choice"), pod)
	}
}

// checkPlans holds what the plans say against the hosts: each VM is in one claim
// or homeless, each claim is on another host, and each host has what any one
// failure claims there.
func checkPlans(r *rapid.T, p *planner) {
	failures, vms, homeless := map[*failure]bool{}, map[*failure]int{}, 0
	for _, h := range p.order {
		failures[h.failure] = true
		vms[h.failure] += len(h.vms)
	}
	for f := range failures {
		placed := 0
		for _, c := range f.claims {
			placed += len(c.vms)
			if !slices.Contains(c.host.kept.claims, c) || !slices.Contains(p.spare, c.host) || p.hosts[c.host.name] != c.host {
				r.Fatalf("%s does not know what is claimed there for %s", c.host.name, f.name)
			}
			if c.host.failure == f || c.host.node.Spec.Unschedulable {
				r.Fatalf("%s is to restart VMs on %s", f.name, c.host.name)
			}
			u := c.host.usage.Clone()
			for _, v := range c.vms {
				if v.bound() {
					continue // held below, by itself
				}
				if !numa.FitsTotals(u, &v.request) {
					r.Fatalf("%s: %s has no room for its VMs", f.name, c.host.name)
				}
				u.AddFloating(v.amounts)
			}
			for _, v := range c.vms {
				like := int64(0)
				for _, o := range c.vms {
					if o.shape == v.shape {
						like++
					}
				}
				if v.bound() && numa.Room(c.host.usage, &v.request, like) < like {
					r.Fatalf("%s: the cells of %s have no room for its VMs", f.name, c.host.name)
				}
			}
			if !capacity.Fits(c.host.kept.sum, c.sum) || !capacity.Fits(c.host.free, c.host.kept.sum) {
				r.Fatalf("%s keeps %v of %v free, %s claims %v", c.host.name, c.host.kept.sum, c.host.free, f.name, c.sum)
			}
		}
		homeless += len(f.homeless)
		if placed+len(f.homeless) != vms[f] {
			r.Fatalf("%s has %d VMs: %d in claims, %d homeless", f.name, vms[f], placed, len(f.homeless))
		}
	}
	for _, h := range p.order {
		needed := kept{claims: h.kept.claims}
		needed.recount()
		if needed.sum != h.kept.sum || !sameCounts(needed.shapes, h.kept.shapes) {
			r.Fatalf("%s keeps %v and %v, its claims need %v and %v", h.name, h.kept.sum, h.kept.shapes, needed.sum, needed.shapes)
		}
	}
	if homeless != p.homeless {
		r.Fatalf("%d homeless, counted %d", homeless, p.homeless)
	}
}

func sameCounts(a, b []count) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s count) bool {
		return !slices.ContainsFunc(b, func(o count) bool { return o.shape == s.shape && o.n == s.n })
	})
}
