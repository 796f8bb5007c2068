package executor

import (
	"cmp"
	"fmt"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/libvirt"
)

// account sums up what the host has and offers; false while that is not known.
func (r *registry) account() (account, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sumUp()
}

func (r *registry) sumUp() (account, bool) {
	if r.description == nil || r.config.Mode == hostconfig.ModePartitioned && r.pods == nil {
		return account{}, false
	}
	return offer(r.config, *r.description, r.pods, r.unaccountedFor()), true
}

// unaccountedFor gathers the domains for which no VM accounts.
func (r *registry) unaccountedFor() others {
	var o others
	for uuid, d := range r.domains {
		if reason, is := r.quarantined[uuid]; is {
			o.quarantined = append(o.quarantined, quarantined{Observed: d, reason: reason})
		} else if !d.Owned {
			o.foreign = append(o.foreign, d.Domain)
		}
	}
	slices.SortFunc(o.quarantined, func(a, b quarantined) int { return cmp.Compare(a.UUID, b.UUID) })
	slices.SortFunc(o.foreign, func(a, b libvirt.Domain) int { return cmp.Compare(a.UUID, b.UUID) })
	return o
}

// reserve accepts the placement for the domain uuid, or says what the host
// lacks for it beside all other bindings. The reservation holds until put or
// release. It fails, and decides nothing, while the host is not known.
func (r *registry) reserve(uuid string, p v1alpha1.Placement) (*numa.Shortage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, known := r.sumUp()
	if !known {
		return nil, fmt.Errorf("accepting a VirtualMachine: what the host has is not known yet: %w", libvirt.ErrUnavailable)
	}
	// The very report that the scheduler counts on.
	host, err := numa.FromHypervisor(&a.status)
	if err != nil {
		return &numa.Shortage{Reason: "its description cannot be used: " + err.Error()}, nil
	}
	if short := numa.Admit(r.usage(&host, uuid), &p); short != nil {
		return short, nil
	}
	r.reserved[uuid] = p
	return nil, nil
}

// usage is what all bindings but that of the domain except take of the host.
func (r *registry) usage(host *numa.Host, except string) *numa.Usage {
	u := numa.NewUsage(host)
	add := func(p v1alpha1.Placement) {
		if u.Add(&p) != nil {
			// A mark that was read can be counted; were it not so, its amounts
			// still are.
			u.AddFloating(capacity.FromGranted(p.Granted))
		}
	}
	for uuid, d := range r.domains {
		if _, is := r.quarantined[uuid]; d.Owned && !is && uuid != except {
			p := d.Ownership.Placement(r.config.NodeName)
			if more, grows := r.reserved[uuid]; grows {
				p = more // accepted, and not in its mark yet
			}
			add(p)
		}
	}
	for uuid, p := range r.reserved {
		if _, seen := r.domains[uuid]; !seen && uuid != except {
			add(p)
		}
	}
	return u
}

// release takes a reservation back.
func (r *registry) release(uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reserved, uuid)
}

// covers says whether a domain that is marked as granted has already counts for
// all that its placement grants.
func covers(marked, granted v1alpha1.GrantedResources) bool {
	return capacity.Fits(capacity.FromGranted(marked), capacity.FromGranted(granted))
}
