package podless

import (
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Allocatable reads what a host offers to VMs in sum, as its executor reported
// it on the Node. It returns false for a Node without an executor.
func Allocatable(node fwk.NodeInfo) (capacity.Resources, bool) {
	scalars := node.GetAllocatable().GetScalarResources()
	cpu, ok := scalars[v1alpha1.ResourceCPU]
	if !ok {
		return capacity.Resources{}, false
	}
	return capacity.Resources{
		CPU:          cpu,
		Memory:       scalars[v1alpha1.ResourceMemory],
		Hugepages2Mi: scalars[v1alpha1.ResourceHugepages2Mi],
		Hugepages1Gi: scalars[v1alpha1.ResourceHugepages1Gi],
	}, true
}

// Used sums what the VMs on a host hold, assumed ones included. The scheduler
// keeps the sum over all Pods; real Pods, which use the kubelet's share and not
// the VMs', are taken off it. It does not allocate.
func Used(node fwk.NodeInfo) capacity.Resources {
	used := resourcesOf(node.GetRequested())
	for _, info := range node.GetPods() {
		if !IsProjected(info.GetPod().Name) {
			used = used.Sub(resourcesOf(info.CalculateResource().Resource))
		}
	}
	used.CPU /= 1000
	return used
}

// resourcesOf reads native requests, CPU in thousandths: Pods use fractions.
func resourcesOf(r fwk.Resource) capacity.Resources {
	scalars := r.GetScalarResources()
	return capacity.Resources{
		CPU:          r.GetMilliCPU(),
		Memory:       r.GetMemory(),
		Hugepages2Mi: scalars[resourceHugepages2Mi],
		Hugepages1Gi: scalars[resourceHugepages1Gi],
	}
}
