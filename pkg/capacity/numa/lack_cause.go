package numa

import "domus.dev/domus/pkg/api/v1alpha1"

// lack is why divide has found nothing although the host's totals suffice. What
// is short by itself is named before what is short only where the rest is free.
func (s *search) lack(r *Request) Lack {
	extent, cells := s.extent(r)
	if extent == ExtentHost {
		return r.lackOf(v1alpha1.ResourceCPU, extent)
	}
	if !s.lines(cells, true, false) {
		return r.lackOf(v1alpha1.ResourceCPU, extent)
	}
	p, _ := poolOf(r.Granted.PageSize)
	memory := r.lackOf(resourceOf(p), extent)
	if !s.lines(cells, false, true) {
		return memory
	}
	if memory.Beside = true; !s.lines(cells, true, true) {
		return memory
	}
	if n := s.missingDevice(r); n >= 0 {
		name := s.devices[n].Name
		return Lack{Device: name, Extent: extent, Beside: s.mostDevices(name, cells) >= wanted(&s.devices[n])}
	}
	// Only the idle siblings are left to be too many: see search.valid.
	return r.lackOf(v1alpha1.ResourceCPU, ExtentHost)
}

// extent is where the request looks for room, and in how many cells at most.
func (s *search) extent(r *Request) (Extent, int) {
	switch {
	case !r.bindsMemory():
		return ExtentHost, s.cells()
	case r.NUMA == v1alpha1.NUMASingleCell || s.most() <= 1:
		return ExtentCell, 1
	}
	return ExtentCells, s.most()
}

// lines says whether up to most cells hold the guest's shares of vCPUs, of
// memory, or of both: what valid looks at for each set, but in one pass for each
// number of cells. Shares do not grow with the cells' ids, so if any cells will
// do then the lowest that do in turn.
func (s *search) lines(most int, vcpus, memory bool) bool {
	for k := 1; k <= most; k++ {
		j := 0
		for i := range s.cells() {
			v, m := s.share(j, k)
			if k > 1 && s.cells() > exactCells {
				v, m = s.largest(k) // as nearest asks of each
			}
			if (!vcpus || v <= s.rooms[i].vcpus) && (!memory || m <= s.rooms[i].memory) {
				if j++; j == k {
					return true
				}
			}
		}
	}
	return false
}

// missingDevice is the first of the devices with which, beside those before it,
// there are no cells any more; -1 when there are none without devices either.
func (s *search) missingDevice(r *Request) int {
	for n := range s.devices {
		some := *s
		some.devices = s.devices[:n]
		var d division
		if !some.divide(r.NUMA, &d) {
			return n - 1
		}
	}
	return len(s.devices) - 1
}

// mostDevices is how many free devices of a name are near the best of up to
// most cells, or near none.
func (s *search) mostDevices(name string, most int) int64 {
	free := s.usage.freeOf(name)
	if free == nil {
		return 0
	}
	var chosen cellSet
	for range most {
		best := -1
		for i := range s.cells() {
			if chosen&(1<<i) == 0 && (best < 0 || free[i] > free[best]) {
				best = i
			}
		}
		chosen |= 1 << best
	}
	return s.usage.near(free, chosen)
}
