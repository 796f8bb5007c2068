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
	if amounts := amountLacks(u, r); amounts.n > 0 {
		return amounts.all[0]
	}
	if r.Dedicated() && int64(r.Granted.CPU) > u.pinnable() {
		return r.lackOf(v1alpha1.ResourceCPU, ExtentHost)
	}
	missing := 0
	for wanted(&r.Devices[missing]) <= u.freeDevices(r.Devices[missing].Name) {
		missing++
	}
	return Lack{Device: r.Devices[missing].Name}
}

// maxLacks is how many of a host's totals can be short at once.
const maxLacks = 4

// HostLacks is all that a host's totals lack for a request. It can be compared.
type HostLacks struct {
	all [maxLacks]Lack
	n   int
}

// OneLack is a host's one lack.
func OneLack(l Lack) HostLacks { return HostLacks{all: [maxLacks]Lack{l}, n: 1} }

// All lists the lacks, one at least where there is any.
func (l *HostLacks) All() []Lack { return l.all[:l.n] }

// LacksOfTotals says why FitsTotals is false; there is none where it is true.
// Each of the amounts that are short is named. It does not allocate.
func LacksOfTotals(u *Usage, r *Request) HostLacks {
	if FitsTotals(u, r) {
		return HostLacks{}
	}
	if r.unknown() == "" {
		if amounts := amountLacks(u, r); amounts.n > 0 {
			return amounts
		}
	}
	return OneLack(totalsLack(u, r))
}

func amountLacks(u *Usage, r *Request) HostLacks {
	var out HostLacks
	free, need := u.Free(), r.Totals()
	for _, name := range hostResources {
		if n := need.Of(name); n > 0 && n > free.Of(name) {
			out.all[out.n] = r.lackOf(name, ExtentHost)
			out.n++
		}
	}
	return out
}

// lackOf adds which CPUs the request is about.
func (r *Request) lackOf(name corev1.ResourceName, e Extent) Lack {
	l := Lack{Resource: name, Extent: e}
	if name == v1alpha1.ResourceCPU {
		l.Dedicated, l.Apart = r.Dedicated(), r.apart()
	}
	return l
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
	where := extentWords(l.Extent, 0)
	if l.Beside {
		where += " beside " + cpuWords(int64(r.Granted.CPU), r.Dedicated(), r.apart())
	}
	if l.Resource == v1alpha1.ResourceCPU {
		return "host(s) lack " + cpuWords(int64(r.Granted.CPU), l.Dedicated, l.Apart) + where
	}
	need, overhead := r.memoryOf(l)
	return "host(s) lack " + memoryNeed(l.Resource, need, overhead, capacity.Bytes) + where
}

// memoryOf is how much of the memory that is short the request needs, and what
// of it is QEMU's own: that lies anywhere on the host, outside of cells.
func (r *Request) memoryOf(l Lack) (need, overhead int64) {
	if l.Extent != ExtentHost {
		return r.Granted.Memory, 0
	}
	if l.Resource == v1alpha1.ResourceMemory {
		overhead = r.Granted.Overhead
	}
	return r.Totals().Of(l.Resource), overhead
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
