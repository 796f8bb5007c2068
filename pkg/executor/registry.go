package executor

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/libvirt"
)

// registry knows the domains of the host and keeps the account of what they
// hold. Its invariant: what has been accepted fits the host, its cells, CPUs
// and devices included, as pkg/capacity/numa counts.
//
// It follows libvirt by full listings and by single looks; a listing is taken
// while single looks go on, and never overwrites what is newer than it.
type registry struct {
	config hostconfig.HostConfiguration

	mu sync.Mutex
	// description is what the host has, and pods, on a partitioned host, what
	// its kubelet offers to pods; nothing is accepted before they are known.
	description *libvirt.Description
	pods        *podResources
	// cpus are all CPUs of the described host, and own those of each cell that
	// are the VMs'.
	cpus    cpuset.CPUSet
	own     map[int32]cpuset.CPUSet
	domains map[string]ownership.Observed
	// quarantined are owned domains without a VM, by UUID, with the reason.
	quarantined map[string]string
	// reserved is what was accepted and is not seen in a domain's mark yet, by UUID.
	reserved map[string]v1alpha1.Placement
	// starting are the domains that are started just now and were not seen to
	// run yet, by UUID.
	starting map[string]bool
	// clock counts single looks, touched says when a UUID was last looked at.
	clock   uint64
	touched map[string]uint64
}

func newRegistry(config hostconfig.HostConfiguration) *registry {
	return &registry{
		config: config, domains: map[string]ownership.Observed{}, quarantined: map[string]string{},
		reserved: map[string]v1alpha1.Placement{}, starting: map[string]bool{}, touched: map[string]uint64{},
	}
}

func (r *registry) describe(d libvirt.Description) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.description = &d
	r.cpus, r.own = allCPUs(d), map[int32]cpuset.CPUSet{}
	for _, c := range ownCells(r.config, d) {
		r.own[c.ID], _ = cpuset.Parse(c.CPUs)
	}
}

// offeredToPods takes over what the host's kubelet offers to pods.
func (r *registry) offeredToPods(p podResources) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pods = &p
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
			r.set(ownership.Observe(d))
		}
	}
	for uuid := range r.domains {
		if !listed[uuid] && r.touched[uuid] <= mark {
			r.forget(uuid)
		}
	}
	for uuid, at := range r.touched {
		if at <= mark {
			delete(r.touched, uuid)
		}
	}
}

// has says whether there is a domain of the VM.
func (r *registry) has(vm types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.domains {
		if d.Owned && d.Ownership.Owner.UID == vm {
			return true
		}
	}
	return false
}

func (r *registry) touch(uuid string) {
	r.clock++
	r.touched[uuid] = r.clock
}

func (r *registry) set(d ownership.Observed) {
	r.domains[d.UUID] = d
	if d.State.Active() {
		delete(r.starting, d.UUID)
	}
}

func (r *registry) forget(uuid string) {
	delete(r.domains, uuid)
	delete(r.quarantined, uuid)
	delete(r.starting, uuid)
}

// put takes over a look at one domain, and says whether what is allocatable may
// have changed by it.
func (r *registry) put(d ownership.Observed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.unaccounted(d.UUID)
	r.touch(d.UUID)
	r.set(d)
	if reserved, is := r.reserved[d.UUID]; is && covers(d.Ownership.Granted, reserved.Granted) {
		delete(r.reserved, d.UUID)
	}
	return before || r.unaccounted(d.UUID)
}

// remove forgets a domain that is not there any more, and says whether what is
// allocatable has changed by it.
func (r *registry) remove(uuid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.unaccounted(uuid)
	r.touch(uuid)
	r.forget(uuid)
	return before
}

// unaccounted says whether no VM accounts for the domain.
func (r *registry) unaccounted(uuid string) bool {
	d, known := r.domains[uuid]
	_, quarantined := r.quarantined[uuid]
	return known && (!d.Owned || quarantined)
}

// get returns the domain as last seen.
func (r *registry) get(uuid string) (ownership.Observed, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.domains[uuid]
	return d, ok
}

// owner is the VM of this cluster whose domain it is; false where there is none
// that we know of.
func (r *registry) owner(clusterID, uuid string) (v1alpha1.Owner, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, known := r.domains[uuid]
	_, quarantined := r.quarantined[uuid]
	return d.Ownership.Owner, known && d.Owned && !quarantined && d.Ownership.ClusterID == clusterID
}

// ownedBy lists domains that carry the mark of a VM of this name.
func (r *registry) ownedBy(key types.NamespacedName) []ownership.Observed {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []ownership.Observed
	for _, d := range r.domains {
		if o := d.Ownership.Owner; d.Owned && o.Namespace == key.Namespace && o.Name == key.Name {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b ownership.Observed) int { return cmp.Compare(a.UUID, b.UUID) })
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
