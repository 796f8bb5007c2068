package hostheadroom

import (
	"cmp"
	"slices"
	"unique"

	"domus.dev/domus/pkg/capacity"
)

// settle finds places for the VMs that have none: everywhere for those of
// failures that have changed, and on hosts that offer more now for all others.
// They have been tried on all others before.
func (p *planner) settle() {
	for _, h := range p.fewer {
		h.kept.recount()
	}
	if len(p.fewer) > 0 {
		p.spare = slices.DeleteFunc(p.spare, func(h *host) bool { return len(h.kept.claims) == 0 })
	}
	if len(p.grown) > 0 && p.homeless > 0 {
		p.round = p.version
		for _, h := range p.order {
			if f := h.failure; f.round != p.round && !f.dirty {
				f.round = p.round
				p.house(f, p.placeOnGrown)
			}
		}
	}
	for _, f := range p.dirty {
		f.dirty = false
	}
	p.settleAll(p.dirty)
}

// settleAll places those with the largest needs first: what they claim, the
// others can share.
func (p *planner) settleAll(failures []*failure) {
	slices.SortFunc(failures, func(a, b *failure) int {
		return orderOf(a.need, b.need, a.name, b.name)
	})
	for _, f := range failures {
		p.house(f, p.place)
	}
}

// house tries to place the homeless VMs of a failure, largest first.
func (p *planner) house(f *failure, place func(*failure, *vm) bool) {
	if len(f.homeless) == 0 {
		return
	}
	slices.SortFunc(f.homeless, func(a, b *vm) int { return orderOf(a.amounts, b.amounts, string(a.uid), string(b.uid)) })
	before := len(f.homeless)
	f.homeless = slices.DeleteFunc(f.homeless, func(v *vm) bool { return place(f, v) })
	p.homeless -= before - len(f.homeless)
}

// orderOf puts larger amounts first, and equal ones in the order of names.
func orderOf(a, b capacity.Resources, nameA, nameB string) int {
	switch {
	case larger(a, b):
		return -1
	case larger(b, a):
		return 1
	}
	return cmp.Compare(nameA, nameB)
}

func (p *planner) placeOnGrown(f *failure, v *vm) bool {
	for _, h := range p.grown {
		if f.fits(h, v, nil) {
			p.assign(f, h, v)
			return true
		}
	}
	return false
}

// place puts the VM on the first spare host where it fits, or else makes the
// emptiest other one spare.
func (p *planner) place(f *failure, v *vm) bool {
	if p.nowhere.has(v) {
		return false
	}
	for _, h := range p.spare {
		if f.fits(h, v, nil) {
			p.assign(f, h, v)
			return true
		}
	}
	if !p.outside.has(v) {
		best, own := p.emptiest(f, v)
		if best != nil {
			p.assign(f, best, v)
			return true
		}
		if own {
			return false
		}
		p.outside.add(v)
	}
	if !slices.ContainsFunc(p.spare, func(h *host) bool { return h.fits(v) }) {
		p.nowhere.add(v)
	}
	return false
}

// emptiest is the host with the most free of those that are not spare and where
// the VM fits. own says that it would fit on hosts of its own failure.
func (p *planner) emptiest(f *failure, v *vm) (best *host, own bool) {
	for _, h := range p.order {
		if len(h.kept.claims) > 0 || best != nil && orderOf(best.free, h.free, best.name, h.name) <= 0 || !h.fits(v) {
			continue
		}
		if h.failure == f {
			own = true
		} else {
			best = h
		}
	}
	return best, own
}

// assign claims room on the host for the VM.
func (p *planner) assign(f *failure, h *host, v *vm) {
	c := f.on(h)
	if c == nil {
		if len(h.kept.claims) == 0 {
			p.spare = append(p.spare, h)
		}
		c = &claim{failure: f, host: h}
		f.claims = append(f.claims, c)
		h.kept.claims = append(h.kept.claims, c)
	}
	c.add(v)
}

// misses are VMs that would find no host whatever fails, while no host becomes
// emptier: in a full fleet most VMs are like one of them, and need not be tried.
type misses []miss

type miss struct {
	amounts capacity.Resources
	key     string
	shape   unique.Handle[shape]
}

// maxMisses bounds the list, since each VM without a place is held against it.
const maxMisses = 64

func (m misses) has(v *vm) bool {
	for i := range m {
		if m[i].key == v.key() && capacity.Fits(v.amounts, m[i].amounts) && (m[i].shape == v.shape || m[i].shape == unique.Handle[shape]{}) {
			return true
		}
	}
	return false
}

func (m *misses) add(v *vm) {
	if len(*m) < maxMisses {
		*m = append(*m, miss{amounts: v.amounts, key: v.key(), shape: v.shape})
	}
}
