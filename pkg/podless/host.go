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

// HeldBy is what a projected VM on a host holds there in sum, as the scheduler
// has read it from the Pod's requests once. It does not allocate.
func HeldBy(vm fwk.PodInfo) capacity.Resources {
	r := vm.CalculateResource().Resource
	scalars := r.GetScalarResources()
	return capacity.Resources{
		CPU:          r.GetMilliCPU() / 1000,
		Memory:       r.GetMemory(),
		Hugepages2Mi: scalars[resourceHugepages2Mi],
		Hugepages1Gi: scalars[resourceHugepages1Gi],
	}
}
