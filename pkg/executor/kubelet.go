package executor

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/libvirt"
)

const (
	hugepages2Mi = corev1.ResourceName(corev1.ResourceHugePagesPrefix + "2Mi")
	hugepages1Gi = corev1.ResourceName(corev1.ResourceHugePagesPrefix + "1Gi")
)

// podResources is what a kubelet says on its Node: what the host has, and what
// of it pods may have.
type podResources struct{ capacity, allocatable corev1.ResourceList }

// remainder is what a kubelet leaves to others than pods.
type remainder struct{ capacity.Resources }

// left is what the kubelet keeps from pods of the host d.
//
// A kubelet counts the pages of the pools as memory and offers all pages that
// it knows of; it counts both once, when it starts. Pages that were allocated
// later are left by it as pages, but it still takes their memory for ordinary.
// Source: pkg/kubelet/nodestatus/setters.go of Kubernetes.
func (p *podResources) left(d libvirt.Description) remainder {
	value := func(list corev1.ResourceList, name corev1.ResourceName) int64 {
		q := list[name]
		return q.Value()
	}
	kept := func(name corev1.ResourceName) int64 { return value(p.capacity, name) - value(p.allocatable, name) }
	pool2Mi, pool1Gi := d.Pages.Bytes()
	return remainder{capacity.Resources{
		// Value rounds up: a CPU of which pods have a part is theirs.
		CPU: kept(corev1.ResourceCPU),
		Memory: kept(corev1.ResourceMemory) -
			max(pool2Mi, value(p.capacity, hugepages2Mi)) - max(pool1Gi, value(p.capacity, hugepages1Gi)),
		Hugepages2Mi: pool2Mi - value(p.allocatable, hugepages2Mi),
		Hugepages1Gi: pool1Gi - value(p.allocatable, hugepages1Gi),
	}.Floor()}
}

// missing says what of owned, the share as far as the host has it, the kubelet
// does not leave, and what to do about it.
func (l remainder) missing(share []hostconfig.ShareConfiguration, owned capacity.Resources) []string {
	var all []string
	if l.CPU < owned.CPU {
		cpus := cpuset.New()
		for _, s := range share {
			own, _ := cpuset.Parse(s.CPUs)
			cpus = cpus.Union(own)
		}
		all = append(all, fmt.Sprintf("the kubelet keeps %d of the share's %d CPUs from pods: have its reservedSystemCPUs include %s",
			l.CPU, owned.CPU, cpus))
	}
	if l.Memory < owned.Memory {
		all = append(all, fmt.Sprintf("the kubelet keeps %s of the share's %s of memory from pods: raise its systemReserved or kubeReserved memory, and reservedMemory where it has one, by %s",
			capacity.Bytes(l.Memory), capacity.Bytes(owned.Memory), capacity.Bytes(owned.Memory-l.Memory)))
	}
	for _, pool := range []struct {
		name        string
		left, owned int64
	}{{"2Mi", l.Hugepages2Mi, owned.Hugepages2Mi}, {"1Gi", l.Hugepages1Gi, owned.Hugepages1Gi}} {
		if pool.left < pool.owned {
			all = append(all, fmt.Sprintf("the kubelet keeps %s of the share's %s of %s hugepages from pods, and has no setting to reserve any: allocate the share's after the kubelet has started, and add their memory to its systemReserved",
				capacity.Bytes(pool.left), capacity.Bytes(pool.owned), pool.name))
		}
	}
	return all
}

// wantPartitioned sets the condition that says whether a partitioned host's VMs
// have their share, and removes it from a dedicated one.
func wantPartitioned(conditions *[]metav1.Condition, a *account, generation int64, now metav1.Time) {
	if a.status.Mode != v1alpha1.ModePartitioned {
		meta.RemoveStatusCondition(conditions, v1alpha1.HypervisorPartitioned)
		return
	}
	c := metav1.Condition{
		Type: v1alpha1.HypervisorPartitioned, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonShareReserved,
		Message: "the kubelet leaves the VMs' share alone", ObservedGeneration: generation, LastTransitionTime: now,
	}
	if len(a.missing) > 0 {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonShareNotReserved
		c.Message = strings.Join(a.missing, "; ")
	}
	meta.SetStatusCondition(conditions, c)
}
