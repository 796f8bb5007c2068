package hostheadroom

import (
	"slices"

	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

// keeps says whether all that is kept on the host stays free with the VM there.
// usage is the host's account, which may be another than that of the plan.
func (h *host) keeps(usage *numa.Usage, v *vm) bool {
	if len(h.kept.claims) == 0 {
		return true
	}
	if !capacity.Fits(usage.Free().Sub(h.kept.sum), h.cost(v)) {
		return false
	}
	for i := range h.kept.shapes {
		if s := &h.kept.shapes[i]; numa.RoomAfter(usage, &v.request, s.request, s.n) < s.n {
			return false
		}
	}
	return true
}

// maxCandidates is how many hosts are looked up once for a VM to be restarted
// on: enough to have one that is not of the failure and not claimed by it.
const maxCandidates = 16

// candidates are hosts on which the VM could be restarted if nothing else were.
func (p *planner) candidates(v *vm) []*host {
	var out []*host
	for _, hosts := range [][]*host{p.spare, p.order} {
		for _, h := range hosts {
			if len(out) == maxCandidates {
				return out
			}
			if h.fits(v) {
				out = append(out, h)
			}
		}
	}
	return out
}

// alone says whether all hosts on which a VM could be restarted would fail as
// well.
func (f *failure) alone(candidates []*host) bool {
	if len(candidates) == maxCandidates {
		return false // there are others
	}
	return !slices.ContainsFunc(candidates, func(h *host) bool { return h.failure != f })
}

// restartable says whether the VM, on this host, could be restarted elsewhere
// beside the host's others; VMs in without are gone by then.
func (p *planner) restartable(h *host, v *vm, candidates []*host, without []*vm) bool {
	for _, to := range candidates {
		if h.failure.fits(to, v, without) {
			return true
		}
	}
	if len(candidates) < maxCandidates {
		// There are no others.
		return false
	}
	for _, to := range p.order {
		if h.failure.fits(to, v, without) {
			return true
		}
	}
	return false
}

// open says whether any host takes the VM and keeps the promise.
func (p *planner) open(v *vm, candidates []*host) bool {
	for i := range p.order {
		at := (p.lastOpen + i) % len(p.order)
		h := p.order[at]
		if h.fits(v) && h.keeps(h.usage, v) && p.restartable(h, v, candidates, nil) {
			p.lastOpen = at
			return true
		}
	}
	return false
}
