package explain

import (
	"context"
	"fmt"
	"math"
	"sort"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// scale is the VM in all sizes of its shape, by the number of vCPUs.
type scale struct {
	*inquiry
	shape    shape
	least    int64
	requests map[int64]*numa.Request
	begun    map[int64]*begun
}

// begun is a size as PreFilter left it.
type begun struct {
	o        *outcome
	rejected bool
}

func (q *inquiry) scale() *scale {
	s := shapeOf(&q.vm.Spec.Resources)
	return &scale{inquiry: q, shape: s, least: s.least(), requests: map[int64]*numa.Request{}, begun: map[int64]*begun{}}
}

// size is a number of vCPUs with its memory; nil for 0.
func (s *scale) size(cpu int64) *v1alpha1.PlacementSize {
	if cpu == 0 {
		return nil
	}
	return &v1alpha1.PlacementSize{CPU: int32(cpu), Memory: s.shape.memoryFor(cpu)}
}

// begin is what PreFilter says of a size.
func (s *scale) begin(ctx context.Context, cpu int64) (*begun, error) {
	if b := s.begun[cpu]; b != nil {
		return b, nil
	}
	o, rejected, err := s.inquiry.begin(ctx, s.project(s.sized(cpu, s.shape.memoryFor(cpu))))
	if err != nil {
		return nil, err
	}
	b := &begun{o: o, rejected: rejected != nil}
	s.begun[cpu] = b
	return b, nil
}

// fits says whether a size fits on the node at an index.
func (s *scale) fits(ctx context.Context, cpu int64, at int) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("looking for the largest VM that fits: %w", err)
	}
	b, err := s.begin(ctx, cpu)
	if err != nil || b.rejected {
		return false, err
	}
	return s.takes(ctx, b.o, b.o.state, s.situation.nodes[at])
}

// on is the largest number of vCPUs above beyond with which the VM fits on the
// node at an index; 0 when there is none. Where there is room the filters mostly
// agree; else they are asked about ever smaller ones.
func (s *scale) on(ctx context.Context, at int, beyond int64) (int64, error) {
	cpu := s.room(at)
	for low := max(beyond+1, s.least); cpu >= low; cpu-- {
		fits, err := s.fits(ctx, cpu, at)
		if err != nil || fits {
			return cpu, err
		}
	}
	return 0, nil
}

// request is what a VM with so many vCPUs asks for.
func (s *scale) request(cpu int64) *numa.Request {
	if r := s.requests[cpu]; r != nil {
		return r
	}
	vm := s.sized(cpu, s.shape.memoryFor(cpu))
	r := numa.RequestOf(&vm.Spec, podless.Desired(vm))
	s.requests[cpu] = &r
	return &r
}

// room is the largest number of vCPUs for which the node at an index has room;
// 0 when there is none.
func (s *scale) room(at int) int64 {
	usage, ok := s.fleet.Usage(nil, s.situation.nodes[at])
	if !ok {
		return 0
	}
	// Totals alone shrink with each vCPU. What lies on cells may fit in a larger
	// size and not in a smaller one, which has devices near fewer cells.
	most := min(vcpusOf(usage.Host()), math.MaxInt32)
	too := int64(sort.Search(int(max(most-s.least+1, 0)), func(n int) bool {
		return !numa.FitsTotals(usage, s.request(s.least+int64(n)))
	}))
	for cpu := s.least + too - 1; cpu >= s.least; cpu-- {
		if numa.Fits(usage, s.request(cpu)) {
			return cpu
		}
	}
	return 0
}

// vcpusOf is how many vCPUs a VM on the host can have at most: where vCPUs are
// fewer than CPUs, more can be dedicated than can be shared.
func vcpusOf(h *numa.Host) int64 {
	cpus := int64(0)
	for i := range h.Cells {
		cpus += int64(h.Cells[i].CPUs.Size())
	}
	return max(cpus, h.Allocatable.CPU)
}
