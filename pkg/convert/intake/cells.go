package intake

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/cpuset"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// cells makes pins and NUMA bindings the policies that have the scheduler find
// such a place on any host.
func (s *state) cells() {
	s.cpuTune()
	s.numa()
}

func (s *state) cpuTune() {
	tune := s.domain.CPUTune
	if tune == nil {
		return
	}
	resources := &s.vm.Spec.Resources
	switch {
	case dedicated(tune.VCPUPin, int(resources.CPU)):
		resources.CPUPolicy = v1alpha1.CPUDedicated
		s.changed(at("cpuTune", "vcpuPin"), "became spec.resources.cpuPolicy: dedicated", "each vCPU had a host CPU of its own; which one, the placement decides")
	case len(tune.VCPUPin) > 0:
		s.changed(at("cpuTune", "vcpuPin"), "removed", "the placement decides on host CPUs, and these were shared")
	}
	for _, part := range []struct {
		there    bool
		key, why string
	}{
		{tune.EmulatorPin != nil, "emulatorPin", "the placement decides on host CPUs"},
		{len(tune.IOThreadPin) > 0, "ioThreadPin", "the placement decides on host CPUs"},
		{tune.Shares != nil, "shares", "host CPUs are shared by the number of vCPUs"},
		{limited(tune), "quota", "host CPUs are not limited by time: the guest may use all of its vCPUs"},
		{len(tune.VCPUSched) > 0 || tune.EmulatorSched != nil || len(tune.IOThreadSched) > 0, "vcpuSched", "real-time scheduling is not offered: dedicated CPUs come nearest"},
		{len(tune.CacheTune) > 0 || len(tune.MemoryTune) > 0, "cacheTune", "shares of the cache are those of the old host"},
	} {
		if part.there {
			s.changed(at("cpuTune", part.key), "removed", part.why)
		}
	}
	s.domain.CPUTune = nil
}

func limited(t *libvirtxml.DomainCPUTune) bool {
	return t.Period != nil || t.Quota != nil || t.GlobalPeriod != nil || t.GlobalQuota != nil ||
		t.EmulatorPeriod != nil || t.EmulatorQuota != nil || t.IOThreadPeriod != nil || t.IOThreadQuota != nil
}

// dedicated says whether each of the vCPUs is pinned to one host CPU that no
// other is pinned to.
func dedicated(pins []libvirtxml.DomainCPUTuneVCPUPin, vcpus int) bool {
	used := cpuset.New()
	pinned := map[uint]bool{}
	for _, pin := range pins {
		if int64(pin.VCPU) >= int64(vcpus) {
			continue // of a vCPU that is not plugged in
		}
		cpus, err := cpuset.Parse(pin.CPUSet)
		if err != nil || cpus.Size() != 1 || !used.Intersection(cpus).IsEmpty() {
			return false
		}
		used = used.Union(cpus)
		pinned[pin.VCPU] = true
	}
	return vcpus > 0 && len(pinned) == vcpus
}

func (s *state) numa() {
	resources := &s.vm.Spec.Resources
	policy, bound := numaPolicy(s.domain.NUMATune)
	if bound != nil {
		what := "removed"
		if policy != v1alpha1.NUMANone {
			resources.NUMA = policy
			what = fmt.Sprintf("became spec.resources.numa: %s", policy)
		}
		s.changed(bound, what, numaWhy[policy])
	}
	s.domain.NUMATune = nil
	cpu := s.domain.CPU
	if cpu == nil || cpu.Numa == nil {
		return
	}
	cells := len(cpu.Numa.Cell)
	why := "one cell is what a guest without cells has"
	if cells > 1 {
		why = "the guest sees the cells that the placement gives it: set spec.resources.numa to restricted or spread if it shall see several"
		if resources.NUMA != "" {
			why = "the guest sees the cells that the placement gives it"
		}
	}
	s.changed(at("cpu", "numa"), "removed "+times(cells, "cell"), why)
	cpu.Numa = nil
	if emptyCPU(cpu) {
		s.domain.CPU = nil
	}
}

var numaWhy = map[v1alpha1.NUMAPolicy]string{
	v1alpha1.NUMANone:       "memory was not bound strictly: the host's kernel decides",
	v1alpha1.NUMASingleCell: "memory was bound to one cell; which one, the placement decides",
	v1alpha1.NUMARestricted: "memory was bound to few cells; which ones, the placement decides",
}

// numaPolicy is the policy that means what a binding of memory meant, and where
// in the domain that was; no place where memory was not bound.
func numaPolicy(tune *libvirtxml.DomainNUMATune) (v1alpha1.NUMAPolicy, *field.Path) {
	if tune == nil {
		return "", nil
	}
	nodes := cpuset.New()
	strict := false
	path := at("numaTune")
	add := func(mode, nodeset string) {
		cpus, err := cpuset.Parse(nodeset)
		if err != nil || cpus.IsEmpty() || mode != "" && mode != "strict" && mode != "restrictive" {
			return
		}
		strict = true
		nodes = nodes.Union(cpus)
	}
	for _, cell := range tune.MemNodes {
		add(cell.Mode, cell.Nodeset)
	}
	if m := tune.Memory; m != nil && len(tune.MemNodes) == 0 {
		if m.Placement == "auto" {
			// numad binds to the nodes that it finds best: as few as will do.
			return v1alpha1.NUMARestricted, path
		}
		add(m.Mode, m.Nodeset)
	}
	switch {
	case !strict:
		return v1alpha1.NUMANone, path
	case nodes.Size() == 1:
		return v1alpha1.NUMASingleCell, path
	}
	return v1alpha1.NUMARestricted, path
}

func emptyCPU(cpu *libvirtxml.DomainCPU) bool {
	rest := *cpu
	rest.XMLName.Local, rest.XMLName.Space = "", ""
	return rest.Match == "" && rest.Mode == "" && rest.Check == "" && rest.Migratable == "" && rest.DeprecatedFeatures == "" &&
		rest.Model == nil && rest.Vendor == "" && rest.Topology == nil && rest.Cache == nil && rest.MaxPhysAddr == nil &&
		len(rest.Features) == 0 && rest.Numa == nil
}
