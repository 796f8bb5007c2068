// Package numa chooses NUMA cells, hugepages and CPUs of a host for a VM and
// keeps account of what is taken there. It is pure arithmetic over what a
// Hypervisor reports and what placements hold; README.md states the model.
package numa

import (
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// MaxCells is the largest number of cells of a host that is understood: as many
// as a placement can name.
const MaxCells = 64

// overcommitUnit is the denominator of Host.Overcommit.
const overcommitUnit = 1000

// Host is the topology of a host. It is built by FromHypervisor and not changed
// afterwards; any number of Usages may share it.
type Host struct {
	// Cells by ascending id. A host may report none: then nothing can be bound
	// to a cell and all VMs float.
	Cells []Cell
	// Allocatable is what VMs may be granted in sum, wherever they lie: after
	// the host's reserve, CPU overcommit and all use of domains that are not
	// ours, and never more than the cells add up to. The reserve, and what
	// foreign domains have bound to no cell, are thereby of no cell in
	// particular.
	Allocatable capacity.Resources
	// Overcommit is the number of virtual CPUs per physical CPU, in thousandths.
	Overcommit int64
	// Devices are what the host offers to be passed through, by ascending
	// address.
	Devices []Device

	// distances is a square matrix over Cells, row by row.
	distances []int32
	// position finds a CPU by its number.
	position map[int]position
	// kinds are the names of Devices, ascending and each once.
	kinds []string
	// deviceAt finds a device by its address: an index of Devices.
	deviceAt map[string]int
}

// Limit returns the host with no more allocatable than r, resource by resource;
// for an account that must not count on more than another report says. It
// shares all else with h.
func (h Host) Limit(r capacity.Resources) Host {
	h.Allocatable.CPU = min(h.Allocatable.CPU, r.CPU)
	for p := range pools {
		total := memoryOf(&h.Allocatable, p)
		*total = min(*total, *memoryOf(&r, p))
	}
	return h
}

// Cell is one NUMA cell of a Host.
type Cell struct {
	// ID is the cell's number on the host.
	ID int32
	// CPUs are its logical CPUs.
	CPUs cpuset.CPUSet
	// Cores are its cores, each the set of its hardware threads, in the order of
	// their lowest CPU. A core without SMT is a set of one.
	Cores []cpuset.CPUSet
	// Foreign are those of CPUs to which domains that are not ours are pinned.
	// Shared vCPUs run there too, but no VM gets them for itself.
	Foreign cpuset.CPUSet
	// Memory is ordinary memory in bytes, hugepage pools excluded and what
	// foreign domains have bound to the cell.
	Memory int64
	// Pages2Mi and Pages1Gi count the pages in the pools, without those of
	// foreign domains.
	Pages2Mi, Pages1Gi int64

	// cpus are the numbers in CPUs, ascending; cores are indexes into it.
	cpus  []int
	cores [][]int
	// foreign tells for each of cpus whether it is in Foreign.
	foreign []bool
}

// position is where a CPU is: indexes into Host.Cells, Cell.cpus and Cell.cores.
type position struct{ cell, cpu, core int }

// Distance is the SLIT distance between the cells at two indexes of Cells, in
// the units of ACPI: 10 is local.
func (h *Host) Distance(a, b int) int32 { return h.distances[a*len(h.Cells)+b] }

// index finds a cell by its id.
func (h *Host) index(id int32) (int, bool) {
	for i := range h.Cells {
		if h.Cells[i].ID == id {
			return i, true
		}
	}
	return 0, false
}

// virtual is how many vCPUs cpus physical CPUs offer, rounded down.
func (h *Host) virtual(cpus int64) int64 { return cpus * h.Overcommit / overcommitUnit }

// virtualCost is how many vCPUs fewer are offered when cpus physical CPUs leave
// the shared pool, rounded up: floor(a) - ceil(b) <= floor(a - b), so that what
// is left is never more than the CPUs that are left offer.
func (h *Host) virtualCost(cpus int64) int64 {
	return (cpus*h.Overcommit + overcommitUnit - 1) / overcommitUnit
}

// physical is the largest number of physical CPUs whose virtualCost is at most
// vcpus, which must not be negative.
func (h *Host) physical(vcpus int64) int64 { return vcpus * overcommitUnit / h.Overcommit }

// physicalCost is the smallest number of physical CPUs that offer vcpus.
func (h *Host) physicalCost(vcpus int64) int64 {
	return (vcpus*overcommitUnit + h.Overcommit - 1) / h.Overcommit
}

// pool is a kind of memory.
type pool int

const (
	ordinary pool = iota
	huge2Mi
	huge1Gi
	pools // the number of pools
)

// poolOf is where guest memory in pages of this size lies; ok is false for a
// size that is unknown.
func poolOf(size v1alpha1.PageSize) (p pool, ok bool) {
	switch size {
	case "":
		return ordinary, true
	case v1alpha1.PageSize2Mi:
		return huge2Mi, true
	case v1alpha1.PageSize1Gi:
		return huge1Gi, true
	}
	return 0, false
}

// grain is the number of bytes in which guest memory of the pool is split.
func (p pool) grain() int64 {
	switch p {
	case huge2Mi:
		return 2 << 20
	case huge1Gi:
		return 1 << 30
	}
	return 1 << 20
}

// memory is what the cell has in the pool, in bytes.
func (c *Cell) memory(p pool) int64 {
	switch p {
	case huge2Mi:
		return c.Pages2Mi * huge2Mi.grain()
	case huge1Gi:
		return c.Pages1Gi * huge1Gi.grain()
	}
	return c.Memory
}

// memoryOf is what r has in the pool, in bytes.
func memoryOf(r *capacity.Resources, p pool) *int64 {
	switch p {
	case huge2Mi:
		return &r.Hugepages2Mi
	case huge1Gi:
		return &r.Hugepages1Gi
	}
	return &r.Memory
}
