package hostheadroom

import (
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
)

// Survey tells how far the fleet is from N+1, whether or not a profile keeps it,
// by plans of its own. It is not safe for concurrent use.
type Survey struct{ planner *planner }

// NewSurvey returns one for the failure of one host at a time.
func NewSurvey() *Survey { return &Survey{planner: newPlanner("")} }

// Look counts the VMs that would find no place if their host failed, and the hosts
// that have such VMs. nodes are those of a snapshot, and usage what its Fleet
// counts, false for a Node that is no host.
func (s *Survey) Look(nodes []fwk.NodeInfo, usage func(fwk.NodeInfo) (*numa.Usage, bool)) (vms, hosts int) {
	s.planner.update(nodes, true, usage)
	for _, h := range s.planner.order {
		// Each host is a failure of its own.
		if n := len(h.failure.homeless); n > 0 {
			vms, hosts = vms+n, hosts+1
		}
	}
	return vms, hosts
}
