package convert

import (
	"maps"
	"slices"

	"libvirt.org/go/libvirtxml"
)

// setPins confines the guest's threads to host CPUs as Pins has it; I/O threads
// go with the emulator.
func setPins(domain *libvirtxml.Domain, vcpus map[int]string, emulator string) {
	domain.CPUTune = nil
	if emulator == "" {
		return
	}
	tune := &libvirtxml.DomainCPUTune{EmulatorPin: &libvirtxml.DomainCPUTuneEmulatorPin{CPUSet: emulator}}
	for _, n := range slices.Sorted(maps.Keys(vcpus)) {
		tune.VCPUPin = append(tune.VCPUPin, libvirtxml.DomainCPUTuneVCPUPin{VCPU: uint(n), CPUSet: vcpus[n]})
	}
	for _, id := range ioThreads(domain) {
		tune.IOThreadPin = append(tune.IOThreadPin, libvirtxml.DomainCPUTuneIOThreadPin{IOThread: id, CPUSet: emulator})
	}
	domain.CPUTune = tune
}

// ioThreads are the ids of the domain's I/O threads: those that the user
// numbered, and for the rest of ioThreads the lowest that are left, as libvirt
// numbers them.
func ioThreads(domain *libvirtxml.Domain) []uint {
	used := map[uint]bool{}
	if domain.IOThreadIDs != nil {
		for _, t := range domain.IOThreadIDs.IOThreads {
			used[t.ID] = true
		}
	}
	for id := uint(1); uint(len(used)) < domain.IOThreads; id++ {
		used[id] = true
	}
	return slices.Sorted(maps.Keys(used))
}
