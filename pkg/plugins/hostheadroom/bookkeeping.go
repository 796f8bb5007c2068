package hostheadroom

import "slices"

// expect has the VM restarted when the failure happens.
func (p *planner) expect(f *failure, v *vm) {
	f.need = f.need.Add(v.amounts)
	f.homeless = append(f.homeless, v)
	p.homeless++
	p.retry(f)
}

// retry has the homeless VMs of the failure tried everywhere.
func (p *planner) retry(f *failure) {
	if !f.dirty {
		f.dirty = true
		p.dirty = append(p.dirty, f)
	}
}

// forget ends what expect began.
func (p *planner) forget(f *failure, v *vm) {
	f.need = f.need.Sub(v.amounts)
	if at := slices.Index(f.homeless, v); at >= 0 {
		f.homeless = slices.Delete(f.homeless, at, at+1)
		p.homeless--
		return
	}
	// Others of the failure may fit in its place.
	p.retry(f)
	for _, c := range f.claims {
		if !slices.Contains(c.vms, v) {
			continue
		}
		if c.decides(v) {
			p.fewer = append(p.fewer, c.host)
		}
		c.remove(v)
		if len(c.vms) == 0 {
			p.drop(c)
		}
		return
	}
}

// drop takes a claim from its failure and its host.
func (p *planner) drop(c *claim) {
	is := func(o *claim) bool { return o == c }
	c.failure.claims = slices.DeleteFunc(c.failure.claims, is)
	k := &c.host.kept
	if k.claims = slices.DeleteFunc(k.claims, is); len(k.claims) == 0 {
		p.fewer = append(p.fewer, c.host)
	}
}

// leave takes the host and its VMs out of its failure.
func (p *planner) leave(h *host) {
	f := h.failure
	if f == nil {
		return
	}
	for _, v := range h.vms {
		p.forget(f, v)
	}
	h.vms, h.failure = nil, nil
	if f.hosts--; f.hosts == 0 {
		// Its last VM is gone, and with it its last claim.
		delete(p.failures, f.name)
	}
}

// remove forgets a host that is gone.
func (p *planner) remove(h *host) {
	p.leave(h)
	for _, c := range h.kept.claims {
		p.dissolve(c)
	}
	h.kept = kept{}
	delete(p.hosts, h.name)
	p.fewer = append(p.fewer, h)
}

// check drops the claims that a changed host cannot fulfil any more.
func (p *planner) check(h *host) {
	h.kept.claims = slices.DeleteFunc(h.kept.claims, func(c *claim) bool {
		if c.valid() {
			return false
		}
		p.dissolve(c)
		return true
	})
	p.fewer = append(p.fewer, h)
}

// dissolve makes the VMs of a claim homeless; the host forgets it by itself.
func (p *planner) dissolve(c *claim) {
	f := c.failure
	f.claims = slices.DeleteFunc(f.claims, func(o *claim) bool { return o == c })
	f.homeless = append(f.homeless, c.vms...)
	p.homeless += len(c.vms)
	p.retry(f)
}
