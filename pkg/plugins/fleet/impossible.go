package fleet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
)

// Impossible says in words that the VM fits on none of the nodes even if they
// were empty, and what the largest is that would fit; "" when it fits on one.
// It costs a choice on every host, so it is for VMs that no host can take now.
func (f *Fleet) Impossible(cs fwk.CycleState, r *numa.Request, nodes []fwk.NodeInfo) string {
	var best *numa.Shortage
	var where *corev1.Node
	for _, node := range nodes {
		empty, ok := f.Empty(cs, node)
		if !ok {
			continue
		}
		_, short := numa.Choose(empty, r)
		if short == nil {
			return ""
		}
		// Of equal hosts the first by name, so that the words do not change from
		// one try to the next.
		if nearer(short, best) || !nearer(best, short) && node.Node().Name < where.Name {
			best, where = short, node.Node()
		}
	}
	if best == nil {
		return ""
	}
	return fmt.Sprintf("no host could hold it even when empty: %s, on %s", best, where.Name)
}

// nearer says whether a host that lacks a comes nearer to holding the VM than
// one that lacks b: it has more of what is missing, by share of what is needed.
func nearer(a, b *numa.Shortage) bool {
	switch {
	case b == nil:
		return true
	case a.Reason != "" || b.Reason != "":
		return a.Reason == "" && b.Reason != ""
	}
	return share(a) > share(b)
}

func share(s *numa.Shortage) float64 {
	return float64(max(s.Largest, 0)) / float64(max(s.Need, 1))
}
