package hostfragmentation

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

// weighted is a large VM and what one place for it counts for.
type weighted struct {
	request numa.Request
	weight  int64
}

// requests are the shapes that were configured.
func (a *Args) requests() []weighted {
	var out []weighted
	for i := range a.Shapes {
		out = append(out, weighted{request: a.Shapes[i].request(), weight: a.Shapes[i].Weight})
	}
	return out
}

// request is what the VM asks for, with what QEMU itself needs.
func (s *Shape) request() numa.Request {
	spec := v1alpha1.VirtualMachineSpec{Resources: v1alpha1.VirtualMachineResources{
		CPU: s.CPU, Memory: s.Memory, NUMA: s.NUMA, CPUPolicy: s.CPUPolicy,
	}}
	if s.Hugepages != "" {
		spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: s.Hugepages}
	}
	return numa.RequestOf(&spec, capacity.Desired(&spec))
}

// ownShapes are the whole and the half of the host's largest cell, or of the
// host where it has no cells: as many as are larger than nothing. Their memory
// is of the kind that is largest there, and has QEMU's own part in it.
func ownShapes(h *numa.Host) (shapes [2]weighted, n int) {
	cpu, memory, pages, policy := largest(h)
	for part := int64(1); part <= 2; part++ {
		own := v1alpha1.GrantedResources{CPU: int32(cpu / part), Memory: memory / part, PageSize: pages}
		own.Memory -= own.Memory % grain(pages)
		if own.CPU > 0 && own.Memory > 0 {
			shapes[n] = weighted{request: numa.Request{Granted: own, NUMA: policy}, weight: 1}
			n++
		}
	}
	return shapes, n
}

// largest is the part of the host's allocatable amounts that its largest cell
// has by share, so that as many VMs of it fit as there are such cells although
// the host keeps something for itself; all of it where there are no cells.
func largest(h *numa.Host) (cpu, memory int64, pages v1alpha1.PageSize, policy v1alpha1.NUMAPolicy) {
	if len(h.Cells) == 0 {
		memory, pages = largestKind(h.Allocatable)
		return h.Allocatable.CPU, memory, pages, v1alpha1.NUMANone
	}
	var cell, sum capacity.Resources
	for i := range h.Cells {
		r := resources(&h.Cells[i])
		sum = sum.Add(r)
		if total(r) > total(cell) || total(r) == total(cell) && r.CPU > cell.CPU {
			cell = r
		}
	}
	share := capacity.Resources{
		CPU:          portion(h.Allocatable.CPU, cell.CPU, sum.CPU),
		Memory:       min(cell.Memory, portion(h.Allocatable.Memory, cell.Memory, sum.Memory)),
		Hugepages2Mi: min(cell.Hugepages2Mi, portion(h.Allocatable.Hugepages2Mi, cell.Hugepages2Mi, sum.Hugepages2Mi)),
		Hugepages1Gi: min(cell.Hugepages1Gi, portion(h.Allocatable.Hugepages1Gi, cell.Hugepages1Gi, sum.Hugepages1Gi)),
	}
	memory, pages = largestKind(share)
	return share.CPU, memory, pages, v1alpha1.NUMASingleCell
}

// resources are a cell's physical CPUs and its bytes.
func resources(c *numa.Cell) capacity.Resources {
	return capacity.Resources{
		CPU: int64(c.CPUs.Size()), Memory: c.Memory,
		Hugepages2Mi: c.Pages2Mi * grain(v1alpha1.PageSize2Mi), Hugepages1Gi: c.Pages1Gi * grain(v1alpha1.PageSize1Gi),
	}
}

func total(r capacity.Resources) int64 { return r.Memory + r.Hugepages2Mi + r.Hugepages1Gi }

// largestKind is the kind of memory of which there is most.
func largestKind(r capacity.Resources) (int64, v1alpha1.PageSize) {
	switch most := max(r.Memory, r.Hugepages2Mi, r.Hugepages1Gi); most {
	case r.Memory:
		return most, ""
	case r.Hugepages2Mi:
		return most, v1alpha1.PageSize2Mi
	default:
		return most, v1alpha1.PageSize1Gi
	}
}

// portion is amount * part / whole. Amounts are far below the 2^53 up to which
// a float64 counts exactly.
func portion(amount, part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(float64(amount) * (float64(part) / float64(whole)))
}

// grain is the number of bytes by which guest memory grows.
func grain(pages v1alpha1.PageSize) int64 {
	if pages == v1alpha1.PageSize1Gi {
		return 1 << 30
	}
	return 1 << 21
}
