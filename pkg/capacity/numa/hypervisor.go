package numa

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Distances that ACPI gives to cells about which a table says nothing.
const (
	localDistance  = 10
	remoteDistance = 20
)

// maxOvercommit keeps products of CPUs and thousandths far from overflow.
const maxOvercommit = 1_000_000

// FromHypervisor reads a host's topology from what its executor reports. It
// fails where the report contradicts itself: counting on with it could promise
// a CPU or a page twice.
func FromHypervisor(status *v1alpha1.HypervisorStatus) (Host, error) {
	h := Host{
		Allocatable: capacity.Resources{
			CPU: status.Allocatable.CPU, Memory: status.Allocatable.Memory,
			Hugepages2Mi: status.Allocatable.Hugepages2Mi, Hugepages1Gi: status.Allocatable.Hugepages1Gi,
		},
		Overcommit: overcommitUnit,
		position:   map[int]position{},
	}
	if status.CPUOvercommit != "" {
		ratio, err := resource.ParseQuantity(status.CPUOvercommit)
		if err != nil {
			return Host{}, fmt.Errorf("reading cpuOvercommit %q: %w", status.CPUOvercommit, err)
		}
		if ratio.Sign() <= 0 || ratio.CmpInt64(maxOvercommit) > 0 {
			return Host{}, fmt.Errorf("reading cpuOvercommit %q: must be more than 0 and at most %d", status.CPUOvercommit, maxOvercommit)
		}
		h.Overcommit = ratio.MilliValue()
	}
	if len(status.Cells) > MaxCells {
		return Host{}, fmt.Errorf("reading %d NUMA cells: at most %d are supported", len(status.Cells), MaxCells)
	}
	reported := slices.Clone(status.Cells)
	slices.SortFunc(reported, func(a, b v1alpha1.Cell) int { return cmp.Compare(a.ID, b.ID) })
	for i := range reported {
		if err := h.addCell(&reported[i]); err != nil {
			return Host{}, fmt.Errorf("reading NUMA cell %d: %w", reported[i].ID, err)
		}
	}
	if len(h.Cells) > 0 {
		h.measure(reported)
		h = h.Limit(h.sum())
	}
	if err := h.addDevices(status.Devices); err != nil {
		return Host{}, err
	}
	return h, nil
}

func (h *Host) addCell(in *v1alpha1.Cell) error {
	index := len(h.Cells)
	if index > 0 && h.Cells[index-1].ID == in.ID {
		return errors.New("it is reported twice")
	}
	cpus, err := cpuset.Parse(in.CPUs)
	if err != nil {
		return fmt.Errorf("reading cpus %q: %w", in.CPUs, err)
	}
	c := Cell{ID: in.ID, CPUs: cpus, Memory: in.Memory, cpus: cpus.List()}
	for i, cpu := range c.cpus {
		if other, found := h.position[cpu]; found {
			return fmt.Errorf("CPU %d is in cell %d too", cpu, h.Cells[other.cell].ID)
		}
		h.position[cpu] = position{cell: index, cpu: i}
	}
	for _, p := range in.Hugepages {
		size, known := poolOf(p.Size)
		if !known || size == ordinary {
			return fmt.Errorf("hugepages of %q are not supported: use 2Mi or 1Gi", p.Size)
		}
		if p.Total < 0 || p.Total > c.Memory/size.grain() {
			return fmt.Errorf("%d hugepages of %s do not fit into its memory", p.Total, p.Size)
		}
		c.Memory -= p.Total * size.grain()
		if size == huge2Mi {
			c.Pages2Mi += p.Total
		} else {
			c.Pages1Gi += p.Total
		}
	}
	if err := h.addCores(&c, in.Siblings); err != nil {
		return err
	}
	if err := c.addForeign(in.Foreign); err != nil {
		return err
	}
	h.Cells = append(h.Cells, c)
	return nil
}

// addCores sets the cell's cores from the sets of siblings.
func (h *Host) addCores(c *Cell, siblings []string) error {
	alone := c.CPUs
	for _, s := range siblings {
		core, err := cpuset.Parse(s)
		if err != nil {
			return fmt.Errorf("reading siblings %q: %w", s, err)
		}
		if core.IsEmpty() || !core.IsSubsetOf(alone) {
			return fmt.Errorf("siblings %q are not CPUs of this cell alone and of one core alone", s)
		}
		alone = alone.Difference(core)
		c.Cores = append(c.Cores, core)
	}
	for _, cpu := range alone.List() {
		c.Cores = append(c.Cores, cpuset.New(cpu))
	}
	slices.SortFunc(c.Cores, func(a, b cpuset.CPUSet) int { return cmp.Compare(a.List()[0], b.List()[0]) })
	c.cores = make([][]int, len(c.Cores))
	for i, core := range c.Cores {
		for _, cpu := range core.List() {
			at := h.position[cpu]
			at.core = i
			h.position[cpu] = at
			c.cores[i] = append(c.cores[i], at.cpu)
		}
	}
	return nil
}

// measure fills the distances; reported is in the order of h.Cells.
func (h *Host) measure(reported []v1alpha1.Cell) {
	n := len(h.Cells)
	h.distances = make([]int32, n*n)
	for i := range reported {
		for j := range n {
			h.distances[i*n+j] = remoteDistance
		}
		h.distances[i*n+i] = localDistance
		for _, d := range reported[i].Distances {
			if j, found := h.index(d.Cell); found && j != i && d.Distance > 0 {
				h.distances[i*n+j] = d.Distance
			}
		}
	}
}

// sum is what the cells add up to, and no more is allocatable: where two reports
// disagree the smaller counts, and what fits the host can then always be
// arranged in its cells.
func (h *Host) sum() capacity.Resources {
	var cpus int64
	var sum capacity.Resources
	for i := range h.Cells {
		c := &h.Cells[i]
		cpus += int64(len(c.cpus))
		for p := range pools {
			*memoryOf(&sum, p) += c.memory(p)
		}
	}
	sum.CPU = h.virtual(cpus)
	return sum
}
