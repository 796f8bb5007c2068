package hostheadroom

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	v1helper "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

// host is a host as it was last seen, and what is kept free there.
type host struct {
	name  string
	node  *corev1.Node
	usage *numa.Usage
	free  capacity.Resources
	// threads is the largest number of threads of a core.
	threads int64
	// taints are those that keep VMs off, but the one that all VMs tolerate.
	taints []corev1.Taint
	vms    map[types.UID]*vm
	// failure is what the host fails with.
	failure *failure
	kept    kept
}

// kept is what is to stay free on a host: for each failure the VMs that would
// be restarted there. Only one failure happens at a time, so the largest claim
// on each resource counts.
type kept struct {
	claims []*claim
	sum    capacity.Resources
	shapes []count
}

// cost is what the VM takes of the host's totals. A dedicated CPU takes all the
// vCPUs that it would offer, and the cores' other threads where they stay idle.
func (h *host) cost(v *vm) capacity.Resources {
	r := v.amounts
	if v.request.Dedicated() {
		if v.request.Threads == v1alpha1.ThreadsApart {
			r.CPU *= h.threads
		}
		r.CPU = (r.CPU*h.usage.Host().Overcommit + 999) / 1000
	}
	return r
}

// admits says whether the VM may run here at all, however much is free.
func (h *host) admits(v *vm) bool {
	if h.node.Spec.Unschedulable {
		return false
	}
	if v.rules == nil {
		return len(h.taints) == 0
	}
	if len(h.taints) > 0 {
		if _, kept := v1helper.FindMatchingUntoleratedTaint(klog.Background(), h.taints, v.rules.tolerations, nil, false); kept {
			return false
		}
	}
	// Terms that cannot be read match nothing, as for the scheduler itself.
	match, err := v.rules.affinity.Match(h.node)
	return match && err == nil
}

// fits says whether the VM could run here beside the VMs that do, whatever is
// kept free.
func (h *host) fits(v *vm) bool {
	return capacity.Fits(h.free, h.cost(v)) && h.admits(v) && holds(h.usage, v, 1)
}

// taintsOf are the taints that keep VMs off, but the one that all VMs tolerate.
func taintsOf(node *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	keepsOff := helper.DoNotScheduleTaintsFilterFunc()
	for i := range node.Spec.Taints {
		if t := node.Spec.Taints[i]; t.Key != v1alpha1.HypervisorTaint && keepsOff(&t) {
			out = append(out, t)
		}
	}
	return out
}

func threadsOf(h *numa.Host) int64 {
	most := int64(1)
	for i := range h.Cells {
		for _, core := range h.Cells[i].Cores {
			most = max(most, int64(core.Size()))
		}
	}
	return most
}

// holds says whether the host's cells, CPUs and devices have room for n VMs
// like this; always where the VM wants nothing of them.
func holds(u *numa.Usage, v *vm, n int64) bool {
	return !v.bound() || numa.Room(u, &v.request, n) >= n
}

// fits says whether the host has all that is kept, and hence what each claim
// needs.
func (k *kept) fits(h *host) bool {
	if !capacity.Fits(h.free, k.sum) {
		return false
	}
	for i := range k.shapes {
		if s := &k.shapes[i]; numa.Room(h.usage, s.request, s.n) < s.n {
			return false
		}
	}
	return true
}

// recount sums up the claims anew.
func (k *kept) recount() {
	k.sum, k.shapes = capacity.Resources{}, nil
	for _, c := range k.claims {
		k.include(c)
	}
}

// include raises what is kept to what the claim needs.
func (k *kept) include(c *claim) {
	k.sum = k.sum.Max(c.sum)
	for _, s := range c.shapes {
		k.raise(s)
	}
}

func (k *kept) raise(s count) {
	for i := range k.shapes {
		if k.shapes[i].shape == s.shape {
			k.shapes[i].n = max(k.shapes[i].n, s.n)
			return
		}
	}
	k.shapes = append(k.shapes, s)
}
