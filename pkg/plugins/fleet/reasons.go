package fleet

import (
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/podless"
)

// Reasons for which a Node is no host, in a VM's Scheduled condition.
const (
	// ReasonNoExecutor: the Node does not report domus.dev/cpu.
	ReasonNoExecutor = "host(s) run no vm-executor"
	// ReasonNoHypervisor: nothing is known of the host but its Node.
	ReasonNoHypervisor = "host(s) have no Hypervisor"
)

// NoHost is the status of a node for which there is no Usage.
func NoHost(node fwk.NodeInfo) *fwk.Status {
	if _, ok := podless.Allocatable(node); !ok {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, ReasonNoExecutor)
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, ReasonNoHypervisor)
}
