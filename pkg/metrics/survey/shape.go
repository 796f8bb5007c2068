package survey

import (
	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

const (
	// perCPU is the memory of a vCPU of each shape, in bytes.
	perCPU = 4 << 30
	// standard is the size of VMs that are counted, in vCPUs.
	standard = 4
	// mostVMs bounds how many of them are counted on one host.
	mostVMs = 1 << 14
)

// shape is a kind of VM of any size.
type shape struct {
	name      string
	resources v1alpha1.VirtualMachineResources
	// sizes are its requests by vCPUs, made when first asked for.
	sizes map[int64]*numa.Request
}

func newShapes() []*shape {
	huge := func(size v1alpha1.PageSize) v1alpha1.VirtualMachineResources {
		return v1alpha1.VirtualMachineResources{NUMA: v1alpha1.NUMASingleCell, Hugepages: &v1alpha1.Hugepages{PageSize: size}}
	}
	return []*shape{
		{name: "shared", resources: v1alpha1.VirtualMachineResources{NUMA: v1alpha1.NUMANone}},
		{name: "single-cell", resources: v1alpha1.VirtualMachineResources{NUMA: v1alpha1.NUMASingleCell}},
		{name: "dedicated", resources: v1alpha1.VirtualMachineResources{NUMA: v1alpha1.NUMASingleCell, CPUPolicy: v1alpha1.CPUDedicated}},
		{name: "hugepages-2Mi", resources: huge(v1alpha1.PageSize2Mi)},
		{name: "hugepages-1Gi", resources: huge(v1alpha1.PageSize1Gi)},
	}
}

// size is a VM of the shape with so many vCPUs.
func (s *shape) size(cpus int64) *numa.Request {
	if r := s.sizes[cpus]; r != nil {
		return r
	}
	spec := v1alpha1.VirtualMachineSpec{Resources: *s.resources.DeepCopy()}
	spec.Resources.CPU, spec.Resources.Memory = int32(cpus), *resource.NewQuantity(cpus*perCPU, resource.BinarySI)
	r := numa.RequestOf(&spec, capacity.Desired(&spec))
	if s.sizes == nil {
		s.sizes = map[int64]*numa.Request{}
	}
	s.sizes[cpus] = &r
	return &r
}

// look finds the vCPUs of the largest VM that fits on one of the hosts, and how
// many of the standard size fit on all of them. A host that takes no VM, or
// cannot be heard, has no room.
func (s *shape) look(hosts []host) (largest, placeable int64) {
	for i := range hosts {
		h := &hosts[i]
		if !h.schedulable() || !h.ready() {
			continue
		}
		placeable += numa.Room(h.usage, s.size(standard), mostVMs)
		largest = s.largest(h.usage, largest)
	}
	return largest, placeable
}

// largest is the most vCPUs of a VM on the host, or most where that is more. A VM
// fits wherever a larger one does.
func (s *shape) largest(u *numa.Usage, most int64) int64 {
	fits := func(cpus int64) bool { return numa.Fits(u, s.size(cpus)) }
	if !fits(most + 1) {
		return most
	}
	low, high := most+1, max(u.Free().CPU, most+1)
	for low < high {
		if middle := low + (high-low+1)/2; fits(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}
