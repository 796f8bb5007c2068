package explain

import (
	"context"
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// smaller says how small the VM would have to be to fit on one of the nodes at
// some indexes: in memory alone, in vCPUs alone, or if neither is enough in
// both.
func (q *inquiry) smaller(ctx context.Context, some []int) ([]string, error) {
	s := shapeOf(&q.vm.Spec.Resources)
	g := grain(s.pages)
	var out []string
	add := func(words string, at []int, err error) error {
		if err == nil && len(at) > 0 {
			out = append(out, fmt.Sprintf("with at most %s it would fit on %s", words, q.names(at)))
		}
		return err
	}
	units, at, err := q.most(ctx, 1, (s.memory-1)/g, some, func(n int64) *v1alpha1.VirtualMachine { return q.sized(s.cpu, n*g) })
	if err := add(exactly(units*g)+" of memory", at, err); err != nil {
		return nil, err
	}
	cpus, at, err := q.most(ctx, 1, s.cpu-1, some, func(n int64) *v1alpha1.VirtualMachine { return q.sized(n, s.memory) })
	if err := add(vcpus(cpus), at, err); err != nil || len(out) > 0 {
		return out, err
	}
	cpus, at, err = q.most(ctx, s.least(), s.cpu-1, some, func(n int64) *v1alpha1.VirtualMachine { return q.sized(n, s.memoryFor(n)) })
	err = add(fmt.Sprintf("%s and %s of memory", vcpus(cpus), exactly(s.memoryFor(cpus))), at, err)
	return out, err
}

// most is the largest number from low to high with which the VM fits on one of
// the nodes at some indexes, and on which; on none where even low does not fit.
// It bisects: with one more the VM fits on none, or high is reached.
func (q *inquiry) most(ctx context.Context, low, high int64, some []int, with func(int64) *v1alpha1.VirtualMachine) (int64, []int, error) {
	if low > high {
		return 0, nil, nil
	}
	o, err := q.tryOn(ctx, with(low), some)
	if err != nil || len(o.fits) == 0 {
		return 0, nil, err
	}
	fits := o.fits
	for low < high {
		middle := low + (high-low+1)/2
		o, err := q.tryOn(ctx, with(middle), some)
		switch {
		case err != nil:
			return 0, nil, err
		case len(o.fits) > 0:
			low, fits = middle, o.fits
		default:
			high = middle - 1
		}
	}
	return low, fits, nil
}
