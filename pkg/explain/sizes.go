package explain

import (
	"context"
	"fmt"
	"math"
	"math/bits"

	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// grain is the number of bytes by which guest memory is counted in sizes.
func grain(pages v1alpha1.PageSize) int64 {
	switch pages {
	case v1alpha1.PageSize2Mi:
		return 2 << 20
	case v1alpha1.PageSize1Gi:
		return 1 << 30
	}
	return 1 << 20
}

// shape is a VM as a proportion of vCPUs and memory.
type shape struct {
	cpu, memory int64
	pages       v1alpha1.PageSize
}

func shapeOf(r *v1alpha1.VirtualMachineResources) shape {
	s := shape{cpu: int64(r.CPU), memory: r.Memory.Value()}
	if r.Hugepages != nil {
		s.pages = r.Hugepages.PageSize
	}
	return s
}

// memoryFor is the guest memory in bytes of a VM of the shape with so many
// vCPUs, in whole pages or MiB, rounded down.
func (s shape) memoryFor(cpu int64) int64 {
	g := grain(s.pages)
	high, low := bits.Mul64(uint64(s.memory), uint64(cpu))
	if high >= uint64(s.cpu) {
		return math.MaxInt64 / g * g // more than any host has
	}
	memory, _ := bits.Div64(high, low, uint64(s.cpu))
	return int64(min(memory, math.MaxInt64)) / g * g
}

// least is the least number of vCPUs with which the shape has any memory.
func (s shape) least() int64 {
	return (grain(s.pages)*s.cpu-1)/s.memory + 1
}

// resize sets the VM's vCPUs and memory.
func resize(vm *v1alpha1.VirtualMachine, cpu, memory int64) {
	vm.Spec.Resources.CPU = int32(cpu)
	vm.Spec.Resources.Memory = *resource.NewQuantity(memory, resource.BinarySI)
}

// sized is a copy of the VM with so many vCPUs and bytes.
func (q *inquiry) sized(cpu, memory int64) *v1alpha1.VirtualMachine {
	vm := q.vm.DeepCopy()
	resize(vm, cpu, memory)
	return vm
}

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
	if err := add(gibs(units*g)+" of memory", at, err); err != nil {
		return nil, err
	}
	cpus, at, err := q.most(ctx, 1, s.cpu-1, some, func(n int64) *v1alpha1.VirtualMachine { return q.sized(n, s.memory) })
	if err := add(vcpus(cpus), at, err); err != nil || len(out) > 0 {
		return out, err
	}
	cpus, at, err = q.most(ctx, s.least(), s.cpu-1, some, func(n int64) *v1alpha1.VirtualMachine { return q.sized(n, s.memoryFor(n)) })
	err = add(fmt.Sprintf("%s and %s of memory", vcpus(cpus), gibs(s.memoryFor(cpus))), at, err)
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
