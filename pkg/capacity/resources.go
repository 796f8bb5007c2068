// Package capacity is the one arithmetic of host capacity: what a host offers,
// what a VM needs of it, and what fits. It is pure; the scheduler's plugins,
// the executor's acceptance and the tests all count with it.
package capacity

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Resources is an amount of what a host shares out among VMs.
type Resources struct {
	// CPU counts virtual CPUs.
	CPU int64
	// Memory is ordinary memory in bytes, hugepage pools excluded.
	Memory int64
	// Hugepages2Mi and Hugepages1Gi are bytes in those pools.
	Hugepages2Mi, Hugepages1Gi int64
}

// Add returns r + o.
func (r Resources) Add(o Resources) Resources {
	return Resources{
		CPU:          r.CPU + o.CPU,
		Memory:       r.Memory + o.Memory,
		Hugepages2Mi: r.Hugepages2Mi + o.Hugepages2Mi,
		Hugepages1Gi: r.Hugepages1Gi + o.Hugepages1Gi,
	}
}

// Sub returns r - o, which may be negative where a host's allocatable has
// fallen below what was granted on it.
func (r Resources) Sub(o Resources) Resources {
	return Resources{
		CPU:          r.CPU - o.CPU,
		Memory:       r.Memory - o.Memory,
		Hugepages2Mi: r.Hugepages2Mi - o.Hugepages2Mi,
		Hugepages1Gi: r.Hugepages1Gi - o.Hugepages1Gi,
	}
}

// Max returns the larger of r and o, resource by resource.
func (r Resources) Max(o Resources) Resources {
	return Resources{
		CPU:          max(r.CPU, o.CPU),
		Memory:       max(r.Memory, o.Memory),
		Hugepages2Mi: max(r.Hugepages2Mi, o.Hugepages2Mi),
		Hugepages1Gi: max(r.Hugepages1Gi, o.Hugepages1Gi),
	}
}

// Floor returns r with negative amounts raised to zero.
func (r Resources) Floor() Resources { return r.Max(Resources{}) }

// Of returns the amount named name, or 0 for a name that is not a host resource.
func (r Resources) Of(name corev1.ResourceName) int64 {
	switch name {
	case v1alpha1.ResourceCPU:
		return r.CPU
	case v1alpha1.ResourceMemory:
		return r.Memory
	case v1alpha1.ResourceHugepages2Mi:
		return r.Hugepages2Mi
	case v1alpha1.ResourceHugepages1Gi:
		return r.Hugepages1Gi
	}
	return 0
}

// List returns r as the extended resources of a Node. Extended resources are
// integers, hence the plain numbers.
func (r Resources) List() corev1.ResourceList {
	list := corev1.ResourceList{}
	for _, name := range v1alpha1.HostResources() {
		format := resource.BinarySI
		if name == v1alpha1.ResourceCPU {
			format = resource.DecimalSI
		}
		list[name] = *resource.NewQuantity(r.Of(name), format)
	}
	return list
}

// FromList reads the host resources of a Node; what is not there counts as 0.
func FromList(list corev1.ResourceList) Resources {
	value := func(name corev1.ResourceName) int64 {
		q := list[name]
		return q.Value()
	}
	return Resources{
		CPU:          value(v1alpha1.ResourceCPU),
		Memory:       value(v1alpha1.ResourceMemory),
		Hugepages2Mi: value(v1alpha1.ResourceHugepages2Mi),
		Hugepages1Gi: value(v1alpha1.ResourceHugepages1Gi),
	}
}

// Host returns r as it is written in a Hypervisor.
func (r Resources) Host() v1alpha1.HostCapacity {
	return v1alpha1.HostCapacity{CPU: r.CPU, Memory: r.Memory, Hugepages2Mi: r.Hugepages2Mi, Hugepages1Gi: r.Hugepages1Gi}
}

// FromHost reads what a Hypervisor says.
func FromHost(h v1alpha1.HostCapacity) Resources {
	return Resources{CPU: h.CPU, Memory: h.Memory, Hugepages2Mi: h.Hugepages2Mi, Hugepages1Gi: h.Hugepages1Gi}
}

// Summary says r in words, for a Hypervisor's printer columns.
func (r Resources) Summary() v1alpha1.HostSummary {
	var pools []string
	if r.Hugepages2Mi > 0 {
		pools = append(pools, "2Mi:"+Bytes(r.Hugepages2Mi))
	}
	if r.Hugepages1Gi > 0 {
		pools = append(pools, "1Gi:"+Bytes(r.Hugepages1Gi))
	}
	return v1alpha1.HostSummary{Memory: Bytes(r.Memory), Hugepages: strings.Join(pools, ",")}
}

// Bytes says an amount of memory with one decimal: 1.5Gi, 512Mi, 0.
func Bytes(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if s := fmt.Sprintf("%.1f", v); !strings.HasSuffix(s, ".0") {
		return sign + s + units[i]
	}
	return fmt.Sprintf("%s%.0f%s", sign, v, units[i])
}
