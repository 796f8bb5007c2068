package consistency

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
)

// judge compares a Hypervisor with itself and with its Node's allocatable, and
// says the condition's reason and message.
func judge(status *v1alpha1.HypervisorStatus, node corev1.ResourceList) (reason, message string) {
	host, err := numa.FromHypervisor(status)
	if err != nil {
		return v1alpha1.ReasonReportUnreadable, fmt.Sprintf("the host is placed on by its totals alone, without NUMA cells: %v; see the vm-executor's log and its configuration", err)
	}
	said := capacity.FromHost(status.Allocatable)
	var differs []string
	for _, name := range v1alpha1.HostResources() {
		own, cells := said.Of(name), host.Allocatable.Of(name)
		if cells < own {
			differs = append(differs, fmt.Sprintf("%s is %d and the NUMA cells have %d", name, own, cells))
		}
		if onNode := capacity.FromList(node).Of(name); onNode != own {
			differs = append(differs, fmt.Sprintf("%s is %d and %d on the Node", name, own, onNode))
		}
	}
	if len(differs) == 0 {
		return v1alpha1.ReasonReportsAgree, "the Hypervisor and its Node report the same"
	}
	return v1alpha1.ReasonReportsDiffer, "the smaller amounts are used: " + strings.Join(differs, "; ") + ": see whether something else writes the Node's domus.dev resources"
}
