package hostheadroom

// replan makes all plans anew, for a VM that no host would take as they are:
// they change as little as they can, so over time they keep more hosts free
// than they need. Plans under which a VM loses its place are not taken over; and
// while some have none the fleet is too full for another, whatever the plans.
func (p *planner) replan() {
	if p.replanned == p.version || p.homeless > 0 {
		return
	}
	p.replanned = p.version
	before := p.save()
	p.outside, p.nowhere, p.spare, p.homeless = p.outside[:0], p.nowhere[:0], nil, 0
	var all []*failure
	for f := range before.failures {
		all = append(all, f)
		f.claims, f.homeless = nil, nil
	}
	for _, h := range p.order {
		h.kept = kept{}
		for _, v := range h.vms {
			h.failure.homeless = append(h.failure.homeless, v)
			p.homeless++
		}
	}
	p.settleAll(all)
	if p.homeless > 0 {
		p.restore(before)
	}
}

// saved is all that a replan changes.
type saved struct {
	kept     map[*host]kept
	failures map[*failure]failure
	spare    []*host
}

func (p *planner) save() saved {
	s := saved{kept: map[*host]kept{}, failures: map[*failure]failure{}, spare: p.spare}
	for _, h := range p.order {
		s.kept[h], s.failures[h.failure] = h.kept, *h.failure
	}
	return s
}

func (p *planner) restore(s saved) {
	for h, k := range s.kept {
		h.kept = k
	}
	for f, was := range s.failures {
		*f = was
	}
	p.spare, p.homeless = s.spare, 0
}
