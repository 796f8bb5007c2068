package intake

import (
	"fmt"

	"libvirt.org/go/libvirtxml"
)

// vcpus leaves of the virtual CPUs their number.
func (s *state) vcpus() {
	resources := &s.vm.Spec.Resources
	if v := s.domain.VCPU; v != nil {
		if v.CPUSet != "" {
			s.changed(at("vcpu", "cpuSet"), "removed "+v.CPUSet, "the placement decides on host CPUs")
		}
		if v.Placement == "auto" {
			s.changed(at("vcpu", "placement"), "removed auto", "the placement decides on host CPUs")
		}
		if v.Current != 0 && int64(v.Current) < int64(resources.CPU) {
			s.changed(at("vcpu", "current"), fmt.Sprintf("spec.resources.cpu became %d of at most %d", v.Current, resources.CPU),
				"so many the guest has")
			resources.CPU = int32(v.Current)
		}
		s.domain.VCPU = nil
	}
	if s.domain.VCPUs != nil {
		s.changed(at("vcpus"), "removed", "which virtual CPUs are plugged in follows from spec.resources.cpu")
		s.domain.VCPUs = nil
	}
}

// topology keeps sockets, cores and threads at as many as there are vCPUs, which
// libvirt insists on.
func (s *state) topology() {
	cpu, vcpus := s.domain.CPU, int(s.vm.Spec.Resources.CPU)
	if cpu == nil || cpu.Topology == nil {
		return
	}
	t := cpu.Topology
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

// memory leaves of the guest's memory its amount.
func (s *state) memory() {
	if m := s.domain.MaximumMemory; m != nil {
		s.changed(at("maximumMemory"), fmt.Sprintf("removed %d %s", m.Value, unit(m.Unit)), "memory beyond what is granted cannot be plugged in")
		s.domain.MaximumMemory = nil
	}
	if c := s.domain.CurrentMemory; c != nil {
		s.changed(at("currentMemory"), fmt.Sprintf("removed %d %s", c.Value, unit(c.Unit)),
			"the guest has all of its memory: set spec.resources.memory if it shall have less")
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
