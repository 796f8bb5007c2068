package numa

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// The oracle counts what the tests expect from the reports and the placements
// alone, one thing after another, and shares no code with what is tested.

// tally is what placements hold of a host.
type tally struct {
	status *v1alpha1.HypervisorStatus
	cells  []v1alpha1.Cell
	// by cell, in the order of cells
	cpus   []cpuset.CPUSet
	taken  []cpuset.CPUSet
	shared []int64
	bound  []map[v1alpha1.PageSize]int64
	// of the host
	total       map[v1alpha1.PageSize]int64
	totalShared int64
	devices     map[string]bool // taken, by address
	clash       string
}

func tallyOf(status *v1alpha1.HypervisorStatus, placed []v1alpha1.Placement) *tally {
	t := &tally{status: status, cells: sortedCells(status), total: map[v1alpha1.PageSize]int64{}, devices: map[string]bool{}}
	for _, c := range t.cells {
		t.cpus = append(t.cpus, set(c.CPUs))
		t.taken = append(t.taken, cpuset.New())
		t.shared = append(t.shared, 0)
		t.bound = append(t.bound, map[v1alpha1.PageSize]int64{})
	}
	for i := range placed {
		t.add(&placed[i])
	}
	return t
}

func (t *tally) add(p *v1alpha1.Placement) {
	t.total[p.Granted.PageSize] += p.Granted.Memory
	t.total[""] += p.Granted.Overhead
	t.totalShared += int64(p.Granted.CPU)
	for _, in := range p.Cells {
		i := t.index(in.ID)
		t.bound[i][p.Granted.PageSize] += in.Memory
		if in.CPUs == "" {
			t.shared[i] += int64(in.CPU)
			continue
		}
		pins, idle := set(in.CPUs), set(in.Idle)
		t.totalShared -= int64(in.CPU)
		if pins.Size() != int(in.CPU) || !pins.IsSubsetOf(t.cpus[i]) || !idle.IsSubsetOf(t.cpus[i]) {
			t.clash = fmt.Sprintf("cell %d cannot pin %v", in.ID, in)
		}
		if !pins.Intersection(idle).IsEmpty() || !pins.Union(idle).Intersection(t.taken[i]).IsEmpty() {
			t.clash = fmt.Sprintf("CPUs %s or %s in cell %d are given twice", in.CPUs, in.Idle, in.ID)
		}
		if !pins.Union(idle).Intersection(foreignCPUs(&t.cells[i])).IsEmpty() {
			t.clash = fmt.Sprintf("CPUs %s or %s in cell %d are those of foreign domains", in.CPUs, in.Idle, in.ID)
		}
		t.taken[i] = t.taken[i].Union(pins, idle)
	}
	for _, in := range p.Devices {
		if d := t.device(in.Address); d == nil || d.Name != in.Name || t.devices[in.Address] {
			t.clash = fmt.Sprintf("there is no %s at %s to be given", in.Name, in.Address)
		}
		t.devices[in.Address] = true
	}
}

// broken says which promise is broken, or nothing.
func (t *tally) broken() string {
	if t.clash != "" {
		return t.clash
	}
	var taken, cpus int64
	room := map[v1alpha1.PageSize]int64{}
	bound := map[v1alpha1.PageSize]int64{}
	for i, c := range t.cells {
		n := int64(t.taken[i].Size())
		taken, cpus = taken+n, cpus+int64(t.cpus[i].Size())
		if offered := (int64(t.cpus[i].Size()) - n) * milli(t.status) / 1000; t.shared[i] > offered {
			return fmt.Sprintf("cell %d offers %d vCPUs and has granted %d", c.ID, offered, t.shared[i])
		}
		for size := range unitsOf {
			have := memoryIn(&c, size)
			room[size] += have
			bound[size] += t.bound[i][size]
			if t.bound[i][size] > have {
				return fmt.Sprintf("cell %d has %d bytes in pages %q and has granted %d", c.ID, have, size, t.bound[i][size])
			}
		}
	}
	allocatable := map[v1alpha1.PageSize]int64{"": t.status.Allocatable.Memory, v1alpha1.PageSize2Mi: t.status.Allocatable.Hugepages2Mi, v1alpha1.PageSize1Gi: t.status.Allocatable.Hugepages1Gi}
	for size := range unitsOf {
		if t.total[size] > allocatable[size] {
			return fmt.Sprintf("the host has %d bytes in pages %q and has granted %d", allocatable[size], size, t.total[size])
		}
		// What floats has a place beside what is bound.
		if floating := t.total[size] - bound[size]; floating > room[size]-bound[size] {
			return fmt.Sprintf("%d floating bytes in pages %q have no place", floating, size)
		}
	}
	// floor((cpus - reserved - pinned) * overcommit), where the reserve is what
	// the report leaves out.
	offered := min(t.status.Allocatable.CPU, cpus*milli(t.status)/1000)
	if t.totalShared*1000 > offered*1000-taken*milli(t.status) {
		return fmt.Sprintf("%d CPUs are taken and %d vCPUs shared, of %d", taken, t.totalShared, offered)
	}
	if t.totalShared > (cpus-taken)*milli(t.status)/1000 {
		return fmt.Sprintf("%d CPUs of %d are taken and %d vCPUs shared", taken, cpus, t.totalShared)
	}
	return ""
}

func (t *tally) index(id int32) int {
	for i := range t.cells {
		if t.cells[i].ID == id {
			return i
		}
	}
	panic("no cell " + strconv.Itoa(int(id)))
}

// cores are the free cores of a cell that nobody has begun, lowest first.
func (t *tally) freeCores(i int) []cpuset.CPUSet {
	alone := t.cpus[i]
	lowest := map[int]cpuset.CPUSet{}
	for _, s := range t.cells[i].Siblings {
		core := set(s)
		alone = alone.Difference(core)
		lowest[core.List()[0]] = core
	}
	for _, cpu := range alone.List() {
		lowest[cpu] = cpuset.New(cpu)
	}
	var free []cpuset.CPUSet
	for _, cpu := range t.cpus[i].List() {
		if core, first := lowest[cpu]; first && core.Intersection(t.taken[i].Union(foreignCPUs(&t.cells[i]))).IsEmpty() {
			free = append(free, core)
		}
	}
	return free
}

// unitsOf are the bytes in which memory is dealt.
var unitsOf = map[v1alpha1.PageSize]int64{"": mib, v1alpha1.PageSize2Mi: 2 * mib, v1alpha1.PageSize1Gi: gib}

func unitOf(size v1alpha1.PageSize) int64 { return unitsOf[size] }

// memoryIn is what foreign domains leave of the cell's memory.
func memoryIn(c *v1alpha1.Cell, size v1alpha1.PageSize) int64 {
	have := c.Memory
	for _, p := range c.Hugepages {
		if p.Size == size {
			have = p.Total * unitOf(size)
			break
		}
		have -= p.Total * unitOf(p.Size)
	}
	if f := c.Foreign; f != nil {
		have -= map[v1alpha1.PageSize]int64{"": f.Memory, v1alpha1.PageSize2Mi: f.Hugepages2Mi * 2 * mib, v1alpha1.PageSize1Gi: f.Hugepages1Gi * gib}[size]
	}
	return max(have, 0)
}

func foreignCPUs(c *v1alpha1.Cell) cpuset.CPUSet {
	if c.Foreign == nil {
		return cpuset.New()
	}
	return set(c.Foreign.CPUs)
}

// milli is the overcommit in thousandths.
func milli(status *v1alpha1.HypervisorStatus) int64 {
	s := status.CPUOvercommit
	if s == "" {
		return 1000
	}
	if thousandths, found := strings.CutSuffix(s, "m"); found {
		n, _ := strconv.ParseInt(thousandths, 10, 64)
		return n
	}
	f, _ := strconv.ParseFloat(s, 64)
	return int64(f*1000 + 0.5)
}

func set(list string) cpuset.CPUSet {
	s, err := cpuset.Parse(list)
	if err != nil {
		panic(err)
	}
	return s
}
