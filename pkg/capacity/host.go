package capacity

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Settings are what an administrator decides about a host.
type Settings struct {
	// CPUOvercommit is the number of virtual CPUs offered per physical CPU that
	// is not reserved. 1 when it is not positive.
	CPUOvercommit float64
	// Reserve is kept for the host itself, in physical CPUs and bytes.
	Reserve Resources
}

// Allocatable is what VMs may be granted in sum: (physical - reserve), CPUs
// times overcommit and rounded down, less what domains that are not ours use.
// It is never negative.
func Allocatable(physical, foreign Resources, s Settings) Resources {
	ratio := s.CPUOvercommit
	if ratio <= 0 {
		ratio = 1
	}
	a := physical.Sub(s.Reserve).Floor()
	a.CPU = int64(math.Floor(float64(a.CPU) * ratio))
	return a.Sub(foreign).Floor()
}

// Shortage is one resource that a host lacks for a VM.
type Shortage struct {
	Resource corev1.ResourceName
	// Need is what the VM asks for and Free what the host has left, which may be
	// negative: CPUs, or bytes.
	Need, Free int64
}

// Shortages lists what free lacks for need; nil when need fits. A resource
// that is not asked for is never short, so that a VM without hugepages fits on
// a host whose pool has shrunk.
func Shortages(free, need Resources) []Shortage {
	if Fits(free, need) {
		return nil
	}
	var out []Shortage
	for _, name := range v1alpha1.HostResources() {
		if n, f := need.Of(name), free.Of(name); n > 0 && n > f {
			out = append(out, Shortage{Resource: name, Need: n, Free: f})
		}
	}
	return out
}

// Fits says whether need fits into free. It does not allocate.
func Fits(free, need Resources) bool {
	return (need.CPU <= 0 || need.CPU <= free.CPU) &&
		(need.Memory <= 0 || need.Memory <= free.Memory) &&
		(need.Hugepages2Mi <= 0 || need.Hugepages2Mi <= free.Hugepages2Mi) &&
		(need.Hugepages1Gi <= 0 || need.Hugepages1Gi <= free.Hugepages1Gi)
}
