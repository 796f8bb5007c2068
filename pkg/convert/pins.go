package convert

import (
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// SharedCPUs says where on a host guests that share CPUs may run now.
type SharedCPUs struct {
	// Cells has, for each NUMA cell by its number on the host, its CPUs less
	// those that VMs have to themselves or keep idle.
	Cells map[int32]cpuset.CPUSet
	// Taken is whether VMs have any CPU of the host to themselves. While none
	// has, a guest that is in no cell runs wherever the host's kernel likes.
	Taken bool
}

// All is every CPU that guests may share.
func (s SharedCPUs) All() cpuset.CPUSet {
	all := cpuset.New()
	for _, cpus := range s.Cells {
		all = all.Union(cpus)
	}
	return all
}

// of is where shared vCPUs of a cell run. A cell without a shared CPU is one
// that has changed since the VM was placed there: any shared CPU will do then,
// for a guest must run somewhere.
func (s SharedCPUs) of(cell int32) cpuset.CPUSet {
	if cpus := s.Cells[cell]; !cpus.IsEmpty() {
		return cpus
	}
	return s.All()
}

// Pins says on which host CPUs a placed guest runs, in Linux list format (0-3,8):
// each vCPU by its number, those included that it may be given later, and the
// emulator's own threads. Nil and empty mean
// that nothing confines the guest; one that was confined before is set free by
// pinning it to all CPUs. It fails with an *InvalidError when the placement
// contradicts itself.
//
// vCPUs are dealt in order of cells. Dedicated ones are pinned one to one, by
// ascending host CPU; shared ones to what is shared of their cell. The emulator
// of a VM with dedicated CPUs runs on these too: it then takes time from its own
// guest alone, whereas on shared CPUs it would take it from guests that were
// promised them. Otherwise it runs wherever the vCPUs may.
func Pins(p *v1alpha1.Placement, shared SharedCPUs) (vcpus map[int]string, emulator string, err error) {
	cells, errs := placedCells(p)
	if len(errs) > 0 {
		return nil, "", &InvalidError{List: errs}
	}
	vcpus, emulator = pins(int(capacity.MostCPU(p.Granted)), cells, shared)
	return vcpus, emulator, nil
}

func pins(granted int, cells []placedCell, shared SharedCPUs) (vcpus map[int]string, emulator string) {
	if len(cells) == 0 {
		return floatingPins(granted, shared)
	}
	own, others := cpuset.New(), cpuset.New()
	next := 0
	pin := func(cpus cpuset.CPUSet) {
		if !cpus.IsEmpty() {
			if vcpus == nil {
				vcpus = make(map[int]string, granted)
			}
			vcpus[next] = cpus.String()
		}
		next++
	}
	for _, cell := range cells {
		if !cell.cpus.IsEmpty() {
			own = own.Union(cell.cpus)
			for _, cpu := range cell.cpus.List() {
				pin(cpuset.New(cpu))
			}
			continue
		}
		here := shared.of(cell.id)
		if cell.vcpus > 0 {
			others = others.Union(here)
		}
		for range cell.vcpus {
			pin(here)
		}
	}
	if own.IsEmpty() {
		own = others
	}
	return vcpus, own.String()
}

// floatingPins confines a guest that is in no cell to the shared CPUs, and does
// not where all are.
func floatingPins(granted int, shared SharedCPUs) (vcpus map[int]string, emulator string) {
	all := shared.All()
	if !shared.Taken || all.IsEmpty() {
		return nil, ""
	}
	emulator = all.String()
	vcpus = make(map[int]string, granted)
	for n := range granted {
		vcpus[n] = emulator
	}
	return vcpus, emulator
}
