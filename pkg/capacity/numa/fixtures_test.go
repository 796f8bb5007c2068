package numa

import (
	"fmt"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// report is a host of cells whose totals are those of the cells, without
// reserve.
func report(overcommit string, cells ...v1alpha1.Cell) *v1alpha1.HypervisorStatus {
	status := &v1alpha1.HypervisorStatus{CPUOvercommit: overcommit, Cells: cells}
	// More than there is: FromHypervisor lowers it to the sum of the cells.
	status.Allocatable = v1alpha1.HostCapacity{CPU: 1 << 20, Memory: 1 << 50, Hugepages2Mi: 1 << 50, Hugepages1Gi: 1 << 50}
	return status
}

// cell has memory bytes, hugepage pools included.
func cell(id int32, cpus string, memory int64, change ...func(*v1alpha1.Cell)) v1alpha1.Cell {
	c := v1alpha1.Cell{ID: id, CPUs: cpus, Memory: memory}
	for _, f := range change {
		f(&c)
	}
	return c
}

func pages(size v1alpha1.PageSize, total int64) func(*v1alpha1.Cell) {
	return func(c *v1alpha1.Cell) {
		c.Hugepages = append(c.Hugepages, v1alpha1.PagePool{Size: size, Total: total})
	}
}

func siblings(sets ...string) func(*v1alpha1.Cell) {
	return func(c *v1alpha1.Cell) { c.Siblings = sets }
}

func distances(to map[int32]int32) func(*v1alpha1.Cell) {
	return func(c *v1alpha1.Cell) {
		for id := range int32(MaxCells) {
			if d, found := to[id]; found {
				c.Distances = append(c.Distances, v1alpha1.CellDistance{Cell: id, Distance: d})
			}
		}
	}
}

// equalCells are n cells of 4 CPUs each and memory bytes, half of it in 1Gi
// pages.
func equalCells(n int, memory int64) []v1alpha1.Cell {
	var cells []v1alpha1.Cell
	for i := range n {
		cells = append(cells, cell(int32(i), fmt.Sprintf("%d-%d", 4*i, 4*i+3), memory, pages(v1alpha1.PageSize1Gi, memory/2/gib)))
	}
	return cells
}

// usageOf is a host with placements on it.
func usageOf(t testing.TB, status *v1alpha1.HypervisorStatus, placements ...v1alpha1.Placement) *Usage {
	t.Helper()
	h, err := FromHypervisor(status)
	if err != nil {
		t.Fatal(err)
	}
	u := NewUsage(&h)
	for i := range placements {
		if err := u.Add(&placements[i]); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// request asks for cpu vCPUs and memory bytes, without overhead.
func request(cpu int32, memory int64, change ...func(*Request)) *Request {
	r := &Request{Granted: v1alpha1.GrantedResources{CPU: cpu, Memory: memory}}
	for _, f := range change {
		f(r)
	}
	return r
}

func singleCell(r *Request) { r.NUMA = v1alpha1.NUMASingleCell }
func restricted(r *Request) { r.NUMA = v1alpha1.NUMARestricted }
func spread(r *Request)     { r.NUMA = v1alpha1.NUMASpread }
func dedicated(r *Request)  { r.CPUPolicy = v1alpha1.CPUDedicated }
func apart(r *Request)      { r.CPUPolicy, r.Threads = v1alpha1.CPUDedicated, v1alpha1.ThreadsApart }
func in1Gi(r *Request)      { r.Granted.PageSize = v1alpha1.PageSize1Gi }
func in2Mi(r *Request)      { r.Granted.PageSize = v1alpha1.PageSize2Mi }

// placed is ordinary memory and shared vCPUs; what is in no cell floats.
func placed(cpu int32, memory int64, cells ...v1alpha1.PlacedCell) v1alpha1.Placement {
	return v1alpha1.Placement{Granted: v1alpha1.GrantedResources{CPU: cpu, Memory: memory}, Cells: cells}
}
