package executor

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/libvirt"
)

// registry knows the domains of the host and keeps the account of what they
// hold. Its invariant: what has been accepted fits into what is allocatable.
//
// It follows libvirt by full listings and by single looks; a listing is taken
// while single looks go on, and never overwrites what is newer than it.
type registry struct {
	settings capacity.Settings

	mu sync.Mutex
	// description is what the host has; nothing is accepted before it is known.
	description *libvirt.Description
	domains     map[string]Observed
	// quarantined are owned domains without a VM, by UUID, with the reason.
	quarantined map[string]string
	// reserved is what was accepted and is not seen as a domain yet, by UUID.
	reserved map[string]capacity.Resources
	// clock counts single looks, touched says when a UUID was last looked at.
	clock   uint64
	touched map[string]uint64
}

func newRegistry(s capacity.Settings) *registry {
	return &registry{
		settings: s, domains: map[string]Observed{}, quarantined: map[string]string{},
		reserved: map[string]capacity.Resources{}, touched: map[string]uint64{},
	}
}

func (r *registry) describe(d libvirt.Description) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.description = &d
}

// described returns what the host has; false while that is not known.
func (r *registry) described() (libvirt.Description, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.description == nil {
		return libvirt.Description{}, false
	}
	return *r.description, true
}

// listing begins a full listing: pass the mark to replace.
func (r *registry) listing() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

// replace takes over a listing that began at mark.
func (r *registry) replace(mark uint64, all []libvirt.Domain) {
	r.mu.Lock()
	defer r.mu.Unlock()
	listed := map[string]bool{}
	for _, d := range all {
		listed[d.UUID] = true
		if r.touched[d.UUID] <= mark {
			r.domains[d.UUID] = Observe(d)
		}
	}
	for uuid := range r.domains {
		if !listed[uuid] && r.touched[uuid] <= mark {
			delete(r.domains, uuid)
			delete(r.quarantined, uuid)
		}
	}
	for uuid, at := range r.touched {
		if at <= mark {
			delete(r.touched, uuid)
		}
	}
}

func (r *registry) touch(uuid string) {
	r.clock++
	r.touched[uuid] = r.clock
}

// put takes over a look at one domain, and says whether what is allocatable may
// have changed by it.
func (r *registry) put(d Observed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.unaccounted(d.UUID)
	r.touch(d.UUID)
	r.domains[d.UUID] = d
	delete(r.reserved, d.UUID)
	return before || r.unaccounted(d.UUID)
}

// remove forgets a domain that is not there any more, and says whether what is
// allocatable has changed by it.
func (r *registry) remove(uuid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.unaccounted(uuid)
	r.touch(uuid)
	delete(r.domains, uuid)
	delete(r.quarantined, uuid)
	return before
}

// unaccounted says whether no VM accounts for the domain.
func (r *registry) unaccounted(uuid string) bool {
	d, known := r.domains[uuid]
	_, quarantined := r.quarantined[uuid]
	return known && (!d.Owned || quarantined)
}

// get returns the domain as last seen.
func (r *registry) get(uuid string) (Observed, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.domains[uuid]
	return d, ok
}

// ownedBy lists domains that carry the mark of a VM of this name.
func (r *registry) ownedBy(key types.NamespacedName) []Observed {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Observed
	for _, d := range r.domains {
		if o := d.Ownership.Owner; d.Owned && o.Namespace == key.Namespace && o.Name == key.Name {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b Observed) int { return cmp.Compare(a.UUID, b.UUID) })
	return out
}

// owners lists the VMs that owned domains name.
func (r *registry) owners() []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []types.NamespacedName
	for _, d := range r.domains {
		if d.Owned {
			out = append(out, types.NamespacedName{Namespace: d.Ownership.Owner.Namespace, Name: d.Ownership.Owner.Name})
		}
	}
	return out
}

// quarantine marks a domain, or with an empty reason takes the mark away, and
// says whether that changed anything.
func (r *registry) quarantine(uuid, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quarantined[uuid] == reason {
		return false
	}
	if reason == "" {
		delete(r.quarantined, uuid)
	} else {
		r.quarantined[uuid] = reason
	}
	return true
}

// account is what the host has and what of it VMs may be granted.
type account struct {
	description           libvirt.Description
	physical, allocatable capacity.Resources
	foreign               int32
	quarantined           []v1alpha1.QuarantinedDomain
}

// account sums up; false while nothing is known of the host.
func (r *registry) account() (account, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.description == nil {
		return account{}, false
	}
	a := account{description: *r.description, physical: physical(*r.description), allocatable: r.allocatable()}
	for uuid, d := range r.domains {
		if reason, is := r.quarantined[uuid]; is {
			a.quarantined = append(a.quarantined, v1alpha1.QuarantinedDomain{Name: d.Name, UUID: uuid, Reason: reason})
		}
		if !d.Owned {
			a.foreign++
		}
	}
	slices.SortFunc(a.quarantined, func(x, y v1alpha1.QuarantinedDomain) int { return cmp.Compare(x.UUID, y.UUID) })
	return a, true
}

// allocatable leaves out what running domains that are not ours take, and what
// quarantined ones hold: no VM accounts for those either.
func (r *registry) allocatable() capacity.Resources {
	var foreign capacity.Resources
	for uuid, d := range r.domains {
		_, quarantined := r.quarantined[uuid]
		switch {
		case quarantined:
			foreign = foreign.Add(capacity.FromGranted(d.Ownership.Granted))
		case !d.Owned && d.State.Active():
			foreign = foreign.Add(usage(d.Domain))
		}
	}
	return capacity.Allocatable(physical(*r.description), foreign, r.settings)
}

// reserve accepts need for the domain uuid, or says what is short for it beside
// all other bindings. The reservation holds until put or release.
func (r *registry) reserve(uuid string, need capacity.Resources) []capacity.Shortage {
	r.mu.Lock()
	defer r.mu.Unlock()
	free := r.allocatable()
	for other, d := range r.domains {
		if _, quarantined := r.quarantined[other]; d.Owned && !quarantined && other != uuid {
			free = free.Sub(capacity.FromGranted(d.Ownership.Granted))
		}
	}
	for other, held := range r.reserved {
		if _, seen := r.domains[other]; !seen && other != uuid {
			free = free.Sub(held)
		}
	}
	if short := capacity.Shortages(free, need); short != nil {
		return short
	}
	r.reserved[uuid] = need
	return nil
}

// release takes a reservation back.
func (r *registry) release(uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reserved, uuid)
}
