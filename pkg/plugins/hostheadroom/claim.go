package hostheadroom

import (
	"slices"

	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

// failure is what may fail at a time: a host, or all hosts of a topology
// domain. Its VMs are then restarted where its claims are.
type failure struct {
	// name is in the words of a reason: "host a".
	name   string
	hosts  int
	need   capacity.Resources
	claims []*claim
	// homeless are the VMs that would find no place.
	homeless []*vm
	// dirty says that the homeless are to be tried everywhere.
	dirty bool
	// round is when the homeless were last tried on hosts that have grown.
	round uint64
}

// claim is what one failure needs on one host.
type claim struct {
	failure *failure
	host    *host
	vms     []*vm
	sum     capacity.Resources
	// shapes count the VMs that want something of cells, CPUs or devices.
	shapes []count
}

// on is the claim of the failure on a host; nil when it has none.
func (f *failure) on(h *host) *claim {
	for _, c := range f.claims {
		if c.host == h {
			return c
		}
	}
	return nil
}

// fits says whether the VM could be restarted on the host beside what its
// failure claims there, of which VMs in without do not count.
func (f *failure) fits(h *host, v *vm, without []*vm) bool {
	free, cost := h.free, h.cost(v)
	if h.failure == f || !capacity.Fits(free, cost) || !h.admits(v) {
		return false
	}
	n := int64(1)
	if c := f.on(h); c != nil {
		free = free.Sub(c.sum)
		if same := of(c.shapes, v); same != nil {
			n += same.n
		}
		for _, gone := range without {
			if slices.Contains(c.vms, gone) {
				free = free.Add(h.cost(gone))
			}
		}
	}
	return capacity.Fits(free, cost) && holds(h.usage, v, n)
}

// valid says whether the host still has what the claim needs, which it counts
// anew: what a VM takes there may have changed too.
func (c *claim) valid() bool {
	h := c.host
	c.sum = capacity.Resources{}
	for _, v := range c.vms {
		c.sum = c.sum.Add(h.cost(v))
	}
	if h.failure == c.failure || !capacity.Fits(h.free, c.sum) {
		return false
	}
	for i := range c.shapes {
		if s := &c.shapes[i]; numa.Room(h.usage, s.request, s.n) < s.n {
			return false
		}
	}
	return !slices.ContainsFunc(c.vms, func(v *vm) bool { return !h.admits(v) })
}

// decides says whether less may be kept on the host without this VM.
func (c *claim) decides(v *vm) bool {
	k := &c.host.kept
	if v.bound() && of(k.shapes, v).n <= of(c.shapes, v).n {
		return true
	}
	has := func(claimed, kept int64) bool { return claimed > 0 && claimed >= kept }
	return has(c.sum.CPU, k.sum.CPU) || has(c.sum.Memory, k.sum.Memory) ||
		has(c.sum.Hugepages2Mi, k.sum.Hugepages2Mi) || has(c.sum.Hugepages1Gi, k.sum.Hugepages1Gi)
}

// add puts the VM into the claim, and raises what the host keeps.
func (c *claim) add(v *vm) {
	c.vms = append(c.vms, v)
	c.sum = c.sum.Add(c.host.cost(v))
	c.host.kept.sum = c.host.kept.sum.Max(c.sum)
	if !v.bound() {
		return
	}
	s := of(c.shapes, v)
	if s == nil {
		c.shapes = append(c.shapes, count{shape: v.shape, request: &v.request})
		s = &c.shapes[len(c.shapes)-1]
	}
	s.n++
	c.host.kept.raise(*s)
}

// remove takes the VM out of the claim. The host may keep less then.
func (c *claim) remove(v *vm) {
	c.vms = slices.DeleteFunc(c.vms, func(o *vm) bool { return o == v })
	c.sum = c.sum.Sub(c.host.cost(v))
	if v.bound() {
		of(c.shapes, v).n--
		c.shapes = slices.DeleteFunc(c.shapes, func(s count) bool { return s.n == 0 })
	}
}
