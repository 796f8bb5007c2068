package convert

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

var placementPath = field.NewPath("status", "placement")

// placedCell is a cell of a placement, read.
type placedCell struct {
	// id is the cell's number on the host.
	id int32
	// vcpus is how many of the guest's vCPUs are there.
	vcpus int
	// memoryKiB is 0 when guest memory is bound to no cell. All cells together
	// have the domain's memory: the sum is rounded up, not each share.
	memoryKiB uint
	// cpus are the host CPUs that the vCPUs have to themselves: as many, or
	// none when host CPUs are shared.
	cpus cpuset.CPUSet
}

// placedCells reads the cells of a placement and refuses those that contradict
// what is granted or each other: a domain made of them would not be what the
// host accounts for. Without errors the cells hold all vCPUs, and all guest
// memory or none.
func placedCells(p *v1alpha1.Placement) ([]placedCell, field.ErrorList) {
	var (
		errs   field.ErrorList
		vcpus  int64
		memory int64
		bound  int
		used   = cpuset.New()
		cells  = make([]placedCell, 0, len(p.Cells))
		ids    = make(map[int32]bool, len(p.Cells))
		list   = placementPath.Child("cells")
	)
	for i := range p.Cells {
		in, at := &p.Cells[i], list.Index(i)
		if ids[in.ID] {
			errs = append(errs, field.Duplicate(at.Child("id"), in.ID))
		}
		ids[in.ID] = true
		for _, amount := range []struct {
			key   string
			value int64
		}{{"id", int64(in.ID)}, {"cpu", int64(in.CPU)}, {"memory", in.Memory}} {
			if amount.value < 0 {
				errs = append(errs, field.Invalid(at.Child(amount.key), amount.value, "must not be below 0"))
			}
		}
		cpus, cpuErrs := ownCPUs(in, at, used)
		errs = append(errs, cpuErrs...)
		used = used.Union(cpus)
		share := wholeKiB(memory+in.Memory) - wholeKiB(memory)
		if in.Memory > 0 {
			bound++
			if share == 0 {
				errs = append(errs, field.Invalid(at.Child("memory"), in.Memory, "is too little for a cell of the guest: libvirt counts in KiB"))
			}
		}
		vcpus, memory = vcpus+int64(in.CPU), memory+in.Memory
		cells = append(cells, placedCell{id: in.ID, vcpus: int(in.CPU), memoryKiB: share, cpus: cpus})
	}
	if len(cells) == 0 || len(errs) > 0 {
		return cells, errs
	}
	if vcpus != int64(p.Granted.CPU) {
		errs = append(errs, field.Invalid(list, vcpus, fmt.Sprintf("the cells' cpu must add up to granted.cpu, %d", p.Granted.CPU)))
	}
	if g := p.Granted; g.MaxCPU > g.CPU || g.MaxMemory > g.Memory {
		errs = append(errs, field.Invalid(placementPath.Child("granted"), capacity.MostCPU(g), "a guest that lies in cells cannot grow: maxCPU and maxMemory must not be above cpu and memory"))
	}
	if bound == 0 {
		return cells, errs
	}
	if bound < len(cells) {
		errs = append(errs, field.Invalid(list, bound, "memory must be in each of the cells or in none"))
	}
	if memory != p.Granted.Memory {
		errs = append(errs, field.Invalid(list, memory, fmt.Sprintf("the cells' memory must add up to granted.memory, %d bytes", p.Granted.Memory)))
	}
	return cells, append(errs, wholePages(p, list)...)
}

// bindMemory says whether guest memory is bound to the cells.
func bindMemory(cells []placedCell) bool { return len(cells) > 0 && cells[0].memoryKiB > 0 }

// ownCPUs reads the CPUs of a cell; used are those of the cells before it.
func ownCPUs(in *v1alpha1.PlacedCell, at *field.Path, used cpuset.CPUSet) (cpuset.CPUSet, field.ErrorList) {
	cpus, err := cpuset.Parse(in.CPUs)
	if err != nil {
		return cpuset.New(), field.ErrorList{field.Invalid(at.Child("cpus"), in.CPUs, "must be host CPUs such as 0-3,8")}
	}
	idle, err := cpuset.Parse(in.Idle)
	if err != nil {
		return cpuset.New(), field.ErrorList{field.Invalid(at.Child("idle"), in.Idle, "must be host CPUs such as 0-3,8")}
	}
	var errs field.ErrorList
	if !cpus.IsEmpty() && cpus.Size() != int(in.CPU) {
		errs = append(errs, field.Invalid(at.Child("cpus"), in.CPUs,
			fmt.Sprintf("must be one host CPU for each of the cell's %d vCPUs", in.CPU)))
	}
	if twice := cpus.Intersection(used.Union(idle)); !twice.IsEmpty() {
		errs = append(errs, field.Invalid(at.Child("cpus"), in.CPUs, fmt.Sprintf("CPUs %s are used twice", twice)))
	}
	return cpus, errs
}

// wholePages refuses cells whose memory is not made of whole pages.
func wholePages(p *v1alpha1.Placement, list *field.Path) (errs field.ErrorList) {
	page := int64(pageKiB[p.Granted.PageSize]) * kib
	for i := range p.Cells {
		if page != 0 && p.Cells[i].Memory%page != 0 {
			errs = append(errs, field.Invalid(list.Index(i).Child("memory"), p.Cells[i].Memory,
				fmt.Sprintf("must be whole pages of %s", p.Granted.PageSize)))
		}
	}
	return errs
}
