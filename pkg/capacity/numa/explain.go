package numa

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// hostShortage is what the host's totals lack, or nil.
func hostShortage(u *Usage, r *Request) *Shortage {
	if fitsHost(u, r) {
		return nil
	}
	if reason := r.unknown(); reason != "" {
		return &Shortage{Reason: reason}
	}
	if short := capacity.Shortages(u.Free(), r.need()); len(short) > 0 {
		return &Shortage{Resource: short[0].Resource, Need: short[0].Need, Largest: short[0].Free}
	}
	return r.describe(Shortage{Resource: v1alpha1.ResourceCPU, Need: int64(r.Granted.CPU), Largest: u.pinnable()})
}

// describe adds which CPUs the request is about.
func (r *Request) describe(s Shortage) *Shortage {
	s.Dedicated, s.Apart = r.dedicated(), r.apart()
	return &s
}

// shortage says why divide has found nothing although the host's totals
// suffice. What is short by itself is named before what is short only where the
// rest is free.
func (s *search) shortage(r *Request) *Shortage {
	if s.cells() == 0 {
		return &Shortage{Reason: "the host reports no NUMA cells and no CPUs in them, so nothing can be bound to them"}
	}
	if !r.bindsMemory() {
		total := int64(0)
		for i := range s.cells() {
			total += s.rooms[i].vcpus
		}
		return r.describe(Shortage{Resource: v1alpha1.ResourceCPU, Need: s.vcpus, Largest: s.within(total)})
	}
	p, _ := poolOf(r.Granted.PageSize)
	extent, cells := ExtentCell, 1
	if r.NUMA != v1alpha1.NUMASingleCell && s.most() > 1 {
		extent, cells = ExtentCells, s.most()
	}
	out := Shortage{Extent: extent, Cells: cells}
	if n := s.largestVCPUs(cells); n < s.vcpus {
		out.Resource, out.Need, out.Largest = v1alpha1.ResourceCPU, s.vcpus, n
		return r.describe(out)
	}
	out.Resource, out.Need, out.Largest = resourceOf(p), s.memory(), s.largestMemory(cells, false)
	if out.Largest < out.Need {
		return r.describe(out)
	}
	if out.Largest = s.largestMemory(cells, true); out.Largest < out.Need {
		out.BesideCPU = s.vcpus
		return r.describe(out)
	}
	// Only the idle siblings are left to be too many: see search.valid.
	return r.describe(Shortage{Resource: v1alpha1.ResourceCPU, Need: s.vcpus, Largest: s.within(s.vcpus)})
}

// within lowers a number of dedicated vCPUs to what the host can keep idle
// siblings for: less than was asked for, and no more cores of the smallest kind
// than may leave the shared pool.
func (s *search) within(vcpus int64) int64 {
	if !s.apart {
		return min(vcpus, s.pinnable)
	}
	threads := int64(0)
	for i := range s.usage.host.Cells {
		for _, core := range s.usage.host.Cells[i].cores {
			if n := int64(len(core)); threads == 0 || n < threads {
				threads = n
			}
		}
	}
	return min(vcpus, s.vcpus-1, s.pinnable/max(threads, 1))
}
