package explain

import (
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

// sized is a copy of the VM with so many vCPUs and bytes.
func (q *inquiry) sized(cpu, memory int64) *v1alpha1.VirtualMachine {
	vm := q.vm.DeepCopy()
	vm.Spec.Resources.CPU = int32(cpu)
	vm.Spec.Resources.Memory = *resource.NewQuantity(memory, resource.BinarySI)
	return vm
}
