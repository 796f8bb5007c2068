package numa

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// drawHost is a host of 1 to 8 cells, seldom more, with or without SMT, pages,
// distances, reserve and overcommit. Cells may be without CPUs.
func drawHost(t *rapid.T) *v1alpha1.HypervisorStatus {
	n := rapid.IntRange(1, 8).Draw(t, "cells")
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		n = rapid.IntRange(9, 12).Draw(t, "many cells")
	}
	widest := rapid.IntRange(1, 3).Draw(t, "threads of a core at most")
	next, order := 0, rapid.Permutation(cpuNumbers(n*4*3)).Draw(t, "CPU numbers")
	status := &v1alpha1.HypervisorStatus{CPUOvercommit: rapid.SampledFrom([]string{"", "1", "2", "1500m", "1.1", "500m", "3333m"}).Draw(t, "overcommit")}
	var cpus int64
	for i := range n {
		c := v1alpha1.Cell{ID: int32(i + 2*(i/3))}
		var all []string
		for range rapid.IntRange(0, 4).Draw(t, "cores") {
			threads := rapid.IntRange(1, widest).Draw(t, "threads")
			core := order[next : next+threads]
			next += threads
			cpus += int64(threads)
			all = append(all, core...)
			if threads > 1 {
				c.Siblings = append(c.Siblings, strings.Join(core, ","))
			}
		}
		c.CPUs = strings.Join(all, ",")
		small, large := rapid.Int64Range(0, 6).Draw(t, "2Mi pages"), rapid.Int64Range(0, 4).Draw(t, "1Gi pages")
		c.Hugepages = []v1alpha1.PagePool{{Size: v1alpha1.PageSize2Mi, Total: small}, {Size: v1alpha1.PageSize1Gi, Total: large}}
		c.Memory = small*2*mib + large*gib + rapid.Int64Range(0, 12).Draw(t, "ordinary memory")*mib + rapid.Int64Range(0, 1).Draw(t, "odd bytes")*1000
		for j := range n {
			if j != i && rapid.Bool().Draw(t, "measured") {
				c.Distances = append(c.Distances, v1alpha1.CellDistance{Cell: int32(j + 2*(j/3)), Distance: rapid.Int32Range(11, 14).Draw(t, "distance")})
			}
		}
		status.Cells = append(status.Cells, c)
	}
	drawForeign(t, status)
	drawDevices(t, status)
	drawAllocatable(t, status, cpus)
	status.Cells = rapid.Permutation(status.Cells).Draw(t, "order of cells")
	return status
}

// drawAllocatable sets what is left after reserve and foreign domains; seldom it
// contradicts the cells and is more than they have.
func drawAllocatable(t *rapid.T, status *v1alpha1.HypervisorStatus, cpus int64) {
	less := func(total int64, step int64, what string) int64 {
		return max(total-step*rapid.SampledFrom([]int64{0, 0, 0, 1, 3, -5}).Draw(t, what), 0)
	}
	a := &status.Allocatable
	for _, c := range status.Cells {
		a.Hugepages2Mi += c.Hugepages[0].Total * 2 * mib
		a.Hugepages1Gi += c.Hugepages[1].Total * gib
		a.Memory += c.Memory - c.Hugepages[0].Total*2*mib - c.Hugepages[1].Total*gib
		if f := c.Foreign; f != nil {
			a.Hugepages2Mi, a.Hugepages1Gi = a.Hugepages2Mi-f.Hugepages2Mi*2*mib, a.Hugepages1Gi-f.Hugepages1Gi*gib
			a.Memory -= f.Memory
		}
	}
	a.CPU = less(cpus*milli(status)/1000, 1, "reserved vCPUs")
	a.Memory = less(a.Memory, mib, "reserved memory")
	a.Hugepages2Mi = less(a.Hugepages2Mi, 2*mib, "foreign 2Mi pages")
	a.Hugepages1Gi = less(a.Hugepages1Gi, gib, "foreign 1Gi pages")
}

// drawRequest asks for something of the size of a cell or a few.
func drawRequest(t *rapid.T) *Request {
	r := &Request{
		NUMA:      rapid.SampledFrom([]v1alpha1.NUMAPolicy{"", v1alpha1.NUMANone, v1alpha1.NUMASingleCell, v1alpha1.NUMARestricted, v1alpha1.NUMASpread, v1alpha1.NUMARestricted, v1alpha1.NUMASpread}).Draw(t, "numa"),
		CPUPolicy: rapid.SampledFrom([]v1alpha1.CPUPolicy{"", v1alpha1.CPUShared, v1alpha1.CPUDedicated}).Draw(t, "cpuPolicy"),
	}
	if r.dedicated() {
		r.Threads = rapid.SampledFrom([]v1alpha1.ThreadPolicy{"", v1alpha1.ThreadsTogether, v1alpha1.ThreadsApart}).Draw(t, "threads")
	}
	r.Granted.CPU = rapid.Int32Range(1, 12).Draw(t, "cpu")
	r.Granted.PageSize = rapid.SampledFrom([]v1alpha1.PageSize{"", v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi}).Draw(t, "pageSize")
	r.Granted.Memory = rapid.Int64Range(1, 12).Draw(t, "memory") * unitOf(r.Granted.PageSize)
	if r.Granted.PageSize == "" {
		r.Granted.Memory += rapid.SampledFrom([]int64{0, 0, 5, mib - 1}).Draw(t, "odd bytes")
		r.Granted.Overhead = rapid.SampledFrom([]int64{0, 0, 300}).Draw(t, "overhead")
	}
	if rapid.IntRange(0, 2).Draw(t, "devices") == 0 {
		for _, name := range []string{"gpu", "nic", "25g-vf"}[:rapid.IntRange(1, 3).Draw(t, "device names")] {
			r.Devices = append(r.Devices, v1alpha1.DeviceRequest{Name: name, Count: rapid.Int32Range(0, 3).Draw(t, name)})
		}
	}
	return r
}

func cpuNumbers(n int) []string {
	var out []string
	for i := range n {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// describe names a placement in a failure.
func describe(p *v1alpha1.Placement) string {
	return fmt.Sprintf("%+v %+v %+v", p.Granted, p.Cells, p.Devices)
}

// sortedCells are the reported cells by id.
func sortedCells(status *v1alpha1.HypervisorStatus) []v1alpha1.Cell {
	return slices.SortedFunc(slices.Values(status.Cells), func(a, b v1alpha1.Cell) int { return int(a.ID - b.ID) })
}
