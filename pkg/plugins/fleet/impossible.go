package fleet

import (
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
)

// Impossible says whether the VM fits on none of the nodes even if they were
// empty. It is false where none of them is a host. It looks at every host, so it
// is for VMs that no host can take now.
func (f *Fleet) Impossible(cs fwk.CycleState, r *numa.Request, nodes []fwk.NodeInfo) bool {
	hosts := 0
	for _, node := range nodes {
		empty, ok := f.Empty(cs, node)
		if !ok {
			continue
		}
		if numa.Fits(empty, r) {
			return false
		}
		hosts++
	}
	return hosts > 0
}
