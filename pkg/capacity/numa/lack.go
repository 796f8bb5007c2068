package numa

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Lack is why a host has no place for a VM, without the amounts in which hosts
// differ: hosts with one cause have equal Lacks. It is the zero Lack where no
// host can be counted with, since the request is not understood.
type Lack struct {
	// Resource is what is short; empty where it is a device.
	Resource corev1.ResourceName
	// Device is the name of the devices that are short.
	Device string
	// Extent is where.
	Extent Extent
	// Beside is set when there is enough in itself, but not where the rest of
	// the VM has room too: memory beside CPUs, and devices beside both.
	Beside bool
	// Dedicated and Apart tell which CPUs are short.
	Dedicated, Apart bool
}

// hostResources are the resources in the order in which they are looked at.
var hostResources = v1alpha1.HostResources()

// Lacks says why Choose finds no place for the request, and false when it finds
// one. Beyond what Fits looks at it takes time in the number of cells, and it
// does not allocate.
func Lacks(u *Usage, r *Request) (Lack, bool) {
	if !FitsTotals(u, r) {
		return totalsLack(u, r), true
	}
	if r.floats() {
		return Lack{}, false
	}
	var s search
	s.start(u, r)
	var d division
	if s.divide(r.NUMA, &d) {
		return Lack{}, false
	}
	return s.lack(r), true
}

// totalsLack is why FitsTotals is false.
func totalsLack(u *Usage, r *Request) Lack {
	if r.unknown() != "" {
		return Lack{}
	}
	free, need := u.Free(), r.need()
	for _, name := range hostResources {
		if n := need.Of(name); n > 0 && n > free.Of(name) {
			return r.lackOf(name, ExtentHost)
		}
	}
	for n := range r.Devices {
		if wanted(&r.Devices[n]) > u.freeDevices(r.Devices[n].Name) {
			return Lack{Device: r.Devices[n].Name}
		}
	}
	return r.lackOf(v1alpha1.ResourceCPU, ExtentHost)
}

// lackOf adds which CPUs the request is about.
func (r *Request) lackOf(name corev1.ResourceName, e Extent) Lack {
	l := Lack{Resource: name, Extent: e}
	if name == v1alpha1.ResourceCPU {
		l.Dedicated, l.Apart = r.dedicated(), r.apart()
	}
	return l
}

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

// Reason says the lack to a person, of any number of hosts: "host(s) lack 16Gi
// of 1Gi hugepages in one cell". It names what the VM needs and nothing of one
// host, so that equal reasons can be counted.
func (l Lack) Reason(r *Request) string {
	if l.Device != "" {
		return "host(s) lack " + l.devices(r)
	}
	if l.Resource == "" {
		return r.unknown()
	}
	where := [...]string{ExtentHost: "", ExtentCell: " in one cell", ExtentCells: " split evenly over cells"}[l.Extent]
	if l.Beside {
		where += fmt.Sprintf(" beside %d %s", r.Granted.CPU, cpuWords(r.dedicated(), r.apart()))
	}
	if l.Resource == v1alpha1.ResourceCPU {
		return fmt.Sprintf("host(s) lack %d %s%s", r.Granted.CPU, cpuWords(l.Dedicated, l.Apart), where)
	}
	need := r.Granted.Memory
	if l.Extent == ExtentHost {
		need = r.need().Of(l.Resource)
	}
	return fmt.Sprintf("host(s) lack %s of %s%s", capacity.Bytes(need), memoryWords[l.Resource], where)
}

func (l Lack) devices(r *Request) string {
	count := int64(0)
	for n := range r.Devices {
		if r.Devices[n].Name == l.Device {
			count = wanted(&r.Devices[n])
		}
	}
	return fmt.Sprintf("%d %s%s", count, l.Device, nearWords(l.Extent, 0, l.Beside))
}
