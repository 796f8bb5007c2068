package numa

import (
	"sort"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// hostShortage is what the host's totals lack, or nil.
func hostShortage(u *Usage, r *Request) *Shortage {
	if FitsTotals(u, r) {
		return nil
	}
	return totalsShortage(u, r, totalsLack(u, r))
}

// ShortagesOfTotals is LacksOfTotals with amounts.
func ShortagesOfTotals(u *Usage, r *Request) []*Shortage {
	lacks := LacksOfTotals(u, r)
	var out []*Shortage
	for _, lack := range lacks.All() {
		out = append(out, totalsShortage(u, r, lack))
	}
	return out
}

func totalsShortage(u *Usage, r *Request, lack Lack) *Shortage {
	out := r.describe(lack)
	switch {
	case lack == Lack{}:
		return &Shortage{Reason: r.unknown()}
	case lack.Device != "":
		out.Largest = u.freeDevices(lack.Device)
	case lack.Dedicated:
		out.Largest = u.pinnable()
	default:
		out.Largest = u.Free().Of(lack.Resource)
	}
	return out
}

// describe is a lack with what the request needs: vCPUs, guest memory, devices.
func (r *Request) describe(l Lack) *Shortage {
	s := &Shortage{Resource: l.Resource, Device: l.Device, Extent: l.Extent, Dedicated: r.Dedicated(), Apart: r.apart()}
	s.Need, s.Overhead = r.memoryOf(l)
	if l.Beside {
		s.BesideCPU = int64(r.Granted.CPU)
	}
	if l.Resource == v1alpha1.ResourceCPU {
		s.Need = int64(r.Granted.CPU)
	}
	for n := range r.Devices {
		if r.Devices[n].Name == l.Device {
			s.Need = wanted(&r.Devices[n])
		}
	}
	return s
}

// shortage says why divide has found nothing although the host's totals
// suffice, and the most that would have been found.
func (s *search) shortage(r *Request) *Shortage {
	if s.cells() == 0 {
		return &Shortage{Reason: "the host reports no NUMA cells and no CPUs in them, so nothing can be bound to them"}
	}
	lack := s.lack(r)
	out := r.describe(lack)
	_, cells := s.extent(r)
	if lack.Extent == ExtentCells {
		out.Cells = cells
	}
	switch {
	case lack.Device != "":
		out.Largest = s.largestDevices(r)
	case lack.Resource != v1alpha1.ResourceCPU:
		out.Largest = s.largestMemory(cells, lack.Beside)
	case lack.Extent != ExtentHost:
		out.Largest = s.largestVCPUs(cells)
	case r.bindsMemory():
		out.Largest = s.within(s.vcpus)
	default:
		total := int64(0)
		for i := range s.cells() {
			total += s.rooms[i].vcpus
		}
		out.Largest = s.within(total)
	}
	return out
}

// largestDevices is the largest number of the devices that missingDevice names
// with which there still are cells.
func (s *search) largestDevices(r *Request) int64 {
	n := s.missingDevice(r)
	asked := append([]v1alpha1.DeviceRequest(nil), s.devices[:n+1]...)
	too := sort.Search(int(wanted(&asked[n])), func(count int) bool {
		if count == 0 {
			return false
		}
		asked[n].Count = int32(count)
		some := *s
		some.devices = asked
		var d division
		return !some.divide(r.NUMA, &d)
	})
	return int64(too - 1)
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
