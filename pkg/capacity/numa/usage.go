package numa

import (
	"fmt"
	"slices"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Usage is what placements take of one Host. It is not safe for concurrent
// use; readers may share one that nobody changes.
type Usage struct {
	host  *Host
	cells []cellUsage
	// granted is all that is taken, in cells or floating: memory and hugepages
	// in bytes, and in CPU the vCPUs that are not pinned.
	granted capacity.Resources
	// taken counts the CPUs that are pinned or kept idle.
	taken   int64
	devices deviceUsage
}

// cellUsage is what is bound to one cell.
type cellUsage struct {
	// shared counts the vCPUs bound to the cell and not pinned.
	shared int64
	// memory is in bytes.
	memory [pools]int64
	// takers counts for each CPU who pins it or keeps it idle. It is a count
	// and not a set because two schedulers may both have given a CPU away:
	// when one of the two VMs goes, the CPU is still not free.
	takers []int32
	// taken counts the CPUs with takers.
	taken int64
	// barred counts the CPUs that cannot be dedicated: with takers, or foreign.
	barred int64
}

// NewUsage is an empty account of the host, which must not change afterwards: a
// new report of a host wants a new Usage with all placements added again.
func NewUsage(host *Host) *Usage {
	u := &Usage{host: host, cells: make([]cellUsage, len(host.Cells)), devices: newDeviceUsage(host)}
	takers := make([]int32, len(host.position))
	for i := range u.cells {
		n := len(host.Cells[i].cpus)
		u.cells[i].takers, takers = takers[:n:n], takers[n:]
		u.cells[i].barred = int64(host.Cells[i].Foreign.Size())
	}
	return u
}

// Host is the host of the account.
func (u *Usage) Host() *Host { return u.host }

// Clone returns an account that changes on its own.
func (u *Usage) Clone() *Usage {
	c := NewUsage(u.host)
	c.granted, c.taken = u.granted, u.taken
	for i := range u.cells {
		takers := c.cells[i].takers
		copy(takers, u.cells[i].takers)
		c.cells[i] = u.cells[i]
		c.cells[i].takers = takers
	}
	copy(c.devices.takers, u.devices.takers)
	copy(c.devices.free, u.devices.free)
	return c
}

// Equal says whether both accounts, of one host, hold the same.
func (u *Usage) Equal(o *Usage) bool {
	return u.granted == o.granted && u.taken == o.taken && slices.Equal(u.devices.takers, o.devices.takers) &&
		slices.EqualFunc(u.cells, o.cells, func(a, b cellUsage) bool {
			return a.shared == b.shared && a.memory == b.memory && a.taken == b.taken && slices.Equal(a.takers, b.takers)
		})
}

// Taken is the set of CPUs in the cell at an index of Host.Cells that VMs pin
// or keep idle: no other guest may run there.
func (u *Usage) Taken(cell int) cpuset.CPUSet {
	var cpus []int
	for at, n := range u.cells[cell].takers {
		if n > 0 {
			cpus = append(cpus, u.host.Cells[cell].cpus[at])
		}
	}
	return cpuset.New(cpus...)
}

// Free is what the host has left for VMs wherever they lie: vCPUs on shared
// CPUs, and bytes. An amount is negative where the host has shrunk below what
// was granted.
func (u *Usage) Free() capacity.Resources {
	free := u.host.Allocatable.Sub(u.granted)
	free.CPU -= u.host.virtualCost(u.taken)
	return free
}

// pinnable is how many CPUs may leave the shared pool of the host.
func (u *Usage) pinnable() int64 {
	return max(u.host.physical(max(u.host.Allocatable.CPU-u.granted.CPU, 0))-u.taken, 0)
}

// Add counts a placement. It fails, and counts nothing, when the placement
// cannot be read.
func (u *Usage) Add(p *v1alpha1.Placement) error { return u.count(p, 1) }

// Remove takes back what Add has counted for an equal placement, exactly.
func (u *Usage) Remove(p *v1alpha1.Placement) error { return u.count(p, -1) }

// AddFloating counts amounts that are bound to no cell, in the host's totals
// alone; CPU counts shared vCPUs.
func (u *Usage) AddFloating(r capacity.Resources) { u.granted = u.granted.Add(r) }

func (u *Usage) count(p *v1alpha1.Placement, sign int64) error {
	memoryPool, known := poolOf(p.Granted.PageSize)
	if !known {
		return fmt.Errorf("counting a placement on %s: pages of %q are not supported", p.NodeName, p.Granted.PageSize)
	}
	pins, err := parsePins(p.Cells)
	if err != nil {
		return fmt.Errorf("counting a placement on %s: %w", p.NodeName, err)
	}
	var vcpus, pinned, memory int64
	for n := range p.Cells {
		in, here := &p.Cells[n], int64(0)
		if len(pins) > 0 {
			here = u.take(pins[n].cpus, sign)
			u.take(pins[n].idle, sign)
		}
		vcpus, pinned, memory = vcpus+max(int64(in.CPU), here), pinned+here, memory+in.Memory
		// What lay in a cell that is gone floats.
		if i, found := u.host.index(in.ID); found {
			u.cells[i].shared += sign * max(int64(in.CPU)-here, 0)
			u.cells[i].memory[memoryPool] += sign * in.Memory
		}
	}
	u.granted.CPU += sign * (max(int64(p.Granted.CPU), vcpus) - pinned)
	u.granted.Memory += sign * p.Granted.Overhead
	*memoryOf(&u.granted, memoryPool) += sign * max(p.Granted.Memory, memory)
	u.takeDevices(p.Devices, int32(sign))
	return nil
}

// take counts CPUs as taken and returns how many of them the host has. A CPU
// that is gone takes nothing: its vCPU counts as a shared one.
func (u *Usage) take(cpus cpuset.CPUSet, sign int64) (found int64) {
	for _, cpu := range cpus.UnsortedList() {
		at, ok := u.host.position[cpu]
		if !ok {
			continue
		}
		found++
		u.takeCPU(at.cell, at.cpu, sign)
	}
	return found
}

// takeCPU counts the CPU at an index of the cell's CPUs as taken.
func (u *Usage) takeCPU(cell, cpu int, sign int64) {
	used := &u.cells[cell]
	before := used.takers[cpu]
	after := before + int32(sign)
	used.takers[cpu] = after
	if (before > 0) == (after > 0) {
		return
	}
	used.taken += sign
	u.taken += sign
	if !u.host.Cells[cell].foreign[cpu] {
		used.barred += sign
	}
}
