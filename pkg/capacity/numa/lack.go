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
	if r.dedicated() && int64(r.Granted.CPU) > u.pinnable() {
		return r.lackOf(v1alpha1.ResourceCPU, ExtentHost)
	}
	missing := 0
	for wanted(&r.Devices[missing]) <= u.freeDevices(r.Devices[missing].Name) {
		missing++
	}
	return Lack{Device: r.Devices[missing].Name}
}

// lackOf adds which CPUs the request is about.
func (r *Request) lackOf(name corev1.ResourceName, e Extent) Lack {
	l := Lack{Resource: name, Extent: e}
	if name == v1alpha1.ResourceCPU {
		l.Dedicated, l.Apart = r.dedicated(), r.apart()
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
