package intake

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// vcpus leaves of the virtual CPUs their number.
func (s *state) vcpus() {
	if v := s.domain.VCPU; v != nil {
		if v.CPUSet != "" {
			s.changed(at("vcpu", "cpuSet"), "removed "+v.CPUSet, "the placement decides on host CPUs")
		}
		if v.Placement == "auto" {
			s.changed(at("vcpu", "placement"), "removed auto", "the placement decides on host CPUs")
		}
		s.domain.VCPU = nil
	}
	if s.domain.VCPUs != nil {
		s.changed(at("vcpus"), "removed", "which virtual CPUs are plugged in follows from spec.resources.cpu")
		s.domain.VCPUs = nil
	}
}

// memory leaves of the guest's memory its amount, and how far it may grow.
func (s *state) memory() {
	if m := s.domain.MaximumMemory; m != nil {
		s.changed(at("maximumMemory"), fmt.Sprintf("removed %d %s", m.Value, unit(m.Unit)), "memory beyond what is granted cannot be plugged in")
		s.domain.MaximumMemory = nil
	}
	if c := s.domain.CurrentMemory; c != nil {
		s.changed(at("currentMemory"), fmt.Sprintf("removed %d %s", c.Value, unit(c.Unit)), "the guest has all of its memory")
		s.domain.CurrentMemory = nil
	}
	if t := s.domain.MemoryTune; t != nil {
		s.changed(at("memoryTune"), "removed", "limits follow from spec.resources.memory")
		s.domain.MemoryTune = nil
	}
	if m := s.domain.Memory; m != nil && *m == (libvirtxml.DomainMemory{DumpCore: m.DumpCore}) {
		s.changed(at("memory", "dumpCore"), "removed "+m.DumpCore, "guests are not dumped")
		s.domain.Memory = nil
	}
}

func unit(u string) string {
	if u == "" {
		return "KiB"
	}
	return u
}

// growth leaves out how far the guest may grow where that cannot be had: then it
// has the vCPUs that are plugged in, and all of its memory, as it had when its
// balloon took none.
func (s *state) growth() {
	r := &s.vm.Spec.Resources
	placed := r.NUMA != "" && r.NUMA != v1alpha1.NUMANone
	if r.MaxCPU != 0 && (placed || r.CPUPolicy == v1alpha1.CPUDedicated) {
		s.changed(field.NewPath("spec", "resources", "maxCPU"), fmt.Sprintf("removed %d", r.MaxCPU),
			"a guest with CPUs of its own or a NUMA policy does not grow while it runs")
		r.MaxCPU = 0
	}
	if r.MaxMemory == nil {
		return
	}
	why := ""
	switch {
	case s.restricted():
		why = "only the guest's own balloon driver would keep it from that, which is for privileged namespaces"
	case placed || r.Hugepages != nil || s.hasHostDevices():
		why = "a guest with hugepages, host devices or a NUMA policy does not grow while it runs"
	case s.domain.Devices.MemBalloon != nil && s.domain.Devices.MemBalloon.Model == "none":
		why = "a guest without a balloon has all of its memory"
	default:
		return
	}
	s.changed(field.NewPath("spec", "resources", "maxMemory"), fmt.Sprintf("became spec.resources.memory, which was %s", r.Memory.String()), why)
	r.Memory, r.MaxMemory = *r.MaxMemory, nil
}

// topology keeps sockets, cores and threads at as many as there can be vCPUs,
// which libvirt insists on.
func (s *state) topology() {
	cpu, resources := s.domain.CPU, &s.vm.Spec.Resources
	if cpu == nil || cpu.Topology == nil {
		return
	}
	t, vcpus := cpu.Topology, int(max(resources.CPU, resources.MaxCPU))
	inSocket := 1
	for _, n := range []int{t.Dies, t.Clusters, t.Cores, t.Threads} {
		inSocket *= max(n, 1)
	}
	if inSocket*max(t.Sockets, 1) == vcpus {
		return
	}
	path := at("cpu", "topology")
	if vcpus%inSocket == 0 {
		s.changed(path.Child("sockets"), fmt.Sprintf("%d became %d", t.Sockets, vcpus/inSocket), "sockets, cores and threads must come to the number of vCPUs")
		t.Sockets = vcpus / inSocket
		return
	}
	s.changed(path, "removed", "sockets, cores and threads must come to the number of vCPUs")
	cpu.Topology = nil
}

// hasHostDevices says whether the guest is handed devices of its host.
func (s *state) hasHostDevices() bool {
	devices := s.domain.Devices
	return len(s.vm.Spec.Resources.Devices) > 0 || len(devices.Hostdevs) > 0 ||
		slices.ContainsFunc(devices.Interfaces, func(card libvirtxml.DomainInterface) bool {
			return card.Source != nil && (card.Source.Hostdev != nil || card.Source.VDPA != nil)
		})
}

// unusable refuses what no policy does and admission would: sizes that no guest
// can have, and a VM without a name.
func (s *state) unusable() field.ErrorList {
	var errs field.ErrorList
	name := field.NewPath("metadata", "name")
	switch wrong := validation.IsDNS1123Subdomain(s.vm.Name); {
	case s.vm.Name == "":
		errs = append(errs, field.Required(name, "the document has no name: give one"))
	case len(wrong) > 0:
		errs = append(errs, field.Invalid(name, s.vm.Name, wrong[0]))
	}
	memory, at := s.vm.Spec.Resources.Memory, field.NewPath("spec", "resources", "memory")
	if memory.Cmp(leastMemory) < 0 {
		what := "must be at least 1Mi"
		if memory.IsZero() {
			what += ": the document does not say how much the guest has, or not in a number that a quantity can hold, so set it"
		}
		errs = append(errs, field.Invalid(at, memory.String(), what))
	}
	if pages := s.vm.Spec.Resources.Hugepages; pages != nil {
		size := resource.MustParse(string(pages.PageSize))
		if memory.Value()%size.Value() != 0 {
			errs = append(errs, field.Invalid(at, memory.String(), fmt.Sprintf("must be whole pages of %s: round it up, or choose a smaller page size", pages.PageSize)))
		}
	}
	return errs
}

var leastMemory = resource.MustParse("1Mi")
