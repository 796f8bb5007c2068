package executor

import (
	"cmp"
	"slices"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// astray is a guest of ours that runs, or is about to, on other host CPUs than
// it should now.
type astray struct {
	uuid, name string
	// runsOn are the CPUs where it runs.
	runsOn cpuset.CPUSet
	// vcpus and emulator are what libvirt's Pin is to be given.
	vcpus    map[int]string
	emulator string
}

// correction says how threads that are bound as b have to be pinned anew to run
// where they should: vCPU by vCPU of a guest with so many, and the emulator's,
// with which the I/O threads go. wanted and emulator are convert.Pins'; what is
// not in them may run on all CPUs of the host. runsOn is where they run.
func correction(b libvirt.Binding, vcpus int, wanted map[int]string, emulator string, all cpuset.CPUSet) (pins map[int]string, emulatorPin string, runsOn cpuset.CPUSet) {
	// on is a set in libvirt's words or in ours. CPUs that the host does not
	// have, or not now, make no difference.
	on := func(list string) cpuset.CPUSet {
		cpus, err := cpuset.Parse(list)
		if err != nil || cpus.IsEmpty() {
			return all
		}
		return cpus.Intersection(all)
	}
	has, wants := on(b.Emulator), on(emulator)
	runsOn = has
	if !has.Equals(wants) {
		emulatorPin = wants.String()
	}
	for _, list := range b.IOThreads {
		has := on(list)
		runsOn = runsOn.Union(has)
		if !has.Equals(wants) {
			emulatorPin = wants.String()
		}
	}
	for n := range vcpus {
		has, wants := on(b.VCPUs[n]), on(wanted[n])
		runsOn = runsOn.Union(has)
		if !has.Equals(wants) {
			if pins == nil {
				pins = map[int]string{}
			}
			pins[n] = wants.String()
		}
	}
	return pins, emulatorPin, runsOn
}

// sharedCPUs says where guests that share CPUs may run now: not on CPUs that any
// domain of ours, or binding that was accepted, has to itself.
func (r *registry) sharedCPUs() convert.SharedCPUs {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shared()
}

func (r *registry) shared() convert.SharedCPUs {
	// On a partitioned host a guest must be kept off the pods' CPUs always.
	shared := convert.SharedCPUs{Cells: map[int32]cpuset.CPUSet{}, Taken: r.config.Mode == hostconfig.ModePartitioned}
	taken := cpuset.New()
	for _, d := range r.domains {
		own, idle := ownCPUs(d.Ownership.Cells)
		taken = taken.Union(own).Union(idle)
	}
	for _, p := range r.reserved {
		own, idle := ownCPUs(p.Cells)
		taken = taken.Union(own).Union(idle)
	}
	for cell, cpus := range r.own {
		shared.Cells[cell] = cpus.Difference(taken)
	}
	shared.Taken = shared.Taken || !taken.IsEmpty()
	return shared
}

// astray lists the guests of this cluster's VMs that run elsewhere than they
// should, or are being started so, and thereby on any of the CPUs; with no CPUs
// all of them. Domains in quarantine are left as they are.
func (r *registry) astray(cluster string, cpus cpuset.CPUSet) []astray {
	r.mu.Lock()
	defer r.mu.Unlock()
	shared := r.shared()
	var out []astray
	for _, d := range r.domains {
		a, is := r.strayed(cluster, d, shared)
		if is && (cpus.IsEmpty() || !a.runsOn.Intersection(cpus).IsEmpty()) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b astray) int { return cmp.Compare(a.uuid, b.uuid) })
	return out
}

// strays says whether the domain is one of these.
func (r *registry) strays(cluster, uuid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, known := r.domains[uuid]
	if !known {
		return false
	}
	_, is := r.strayed(cluster, d, r.shared())
	return is
}

func (r *registry) strayed(cluster string, d ownership.Observed, shared convert.SharedCPUs) (astray, bool) {
	_, aside := r.quarantined[d.UUID]
	if !d.Owned || aside || d.Ownership.ClusterID != cluster || !d.State.Active() && !r.starting[d.UUID] {
		return astray{}, false
	}
	return r.correct(d, shared)
}

// correct says how the domain is to be pinned; false when it is as it should.
func (r *registry) correct(d ownership.Observed, shared convert.SharedCPUs) (astray, bool) {
	placement := d.Ownership.Placement(r.config.NodeName)
	wanted, emulator, err := convert.Pins(&placement, shared)
	if err != nil {
		return astray{}, false // a mark like this is not read
	}
	a := astray{uuid: d.UUID, name: d.Name}
	vcpus := int(placement.Granted.CPU)
	if plan.Growable(&placement) && d.State.Active() {
		vcpus = min(vcpus, int(d.VCPUs)) // none is pinned that is not plugged in yet
	}
	a.vcpus, a.emulator, a.runsOn = correction(d.Binding, vcpus, wanted, emulator, r.cpus)
	return a, a.vcpus != nil || a.emulator != ""
}

// begin notes that the domain is about to be started, and says whether it may:
// false when it is to be defined anew, since the CPUs that guests share have
// changed since. From then on until it is seen to run, or end is called, it
// counts as running, so that no other guest that wants its CPUs for itself is
// started meanwhile.
func (r *registry) begin(uuid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, known := r.domains[uuid]
	if !known {
		return true // libvirt will say that there is none
	}
	if _, is := r.correct(d, r.shared()); is {
		return false
	}
	r.starting[uuid] = true
	return true
}

// goOn notes that the domain is about to go on from its saved memory, which it
// does where it was pinned then, and is pinned anew when it runs.
func (r *registry) goOn(uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starting[uuid] = true
}

// end notes that the domain is not being started any more.
func (r *registry) end(uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.starting, uuid)
}
