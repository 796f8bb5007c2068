package explain

import (
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/rejections"
	"domus.dev/domus/pkg/plugins/shortages"
	"domus.dev/domus/pkg/plugins/vmpreemption"
)

// survey counts the hosts and why they were rejected, in the words of condition
// Scheduled. room are the indexes of nodes on which eviction would make room for
// the VM. never is why no host will ever take it, or "".
func (q *inquiry) survey(o *outcome, room []int) (answer *v1alpha1.PlacementReviewStatus, never string, err error) {
	if len(o.fits) == 0 {
		if never, err = vmpreemption.Never(q.fleet, q.situation, o.state, o.pod, q.statuses(o)); err != nil {
			return nil, "", err
		}
	}
	answer = &v1alpha1.PlacementReviewStatus{
		NodeName: q.on, Feasible: int32(len(o.fits)), Rejections: q.rejections(o, room, never == vmpreemption.TooLarge),
	}
	for _, node := range q.situation.nodes {
		if q.host(node) {
			answer.Hosts++
		}
	}
	return answer, never, nil
}

// statuses are what plugins and preemption read of the hosts.
func (q *inquiry) statuses(o *outcome) *framework.NodeToStatus {
	out := framework.NewDefaultNodeToStatus()
	for i, status := range o.statuses {
		if !status.IsSuccess() {
			out.Set(q.situation.nodes[i].Node().Name, status)
		}
	}
	return out
}

// rejections are why hosts were rejected, the most frequent reasons first. room
// is as in survey; tooLarge says that no host could hold the VM even when empty.
func (q *inquiry) rejections(o *outcome, room []int, tooLarge bool) []v1alpha1.PlacementRejection {
	said, meter := q.rejected(o), shortages.New(q.fleet, o.request, q.situation)
	if tooLarge {
		said = meter.WhenEmpty(said)
	}
	evictable := sets.New[string]()
	for _, i := range room {
		evictable.Insert(q.situation.nodes[i].Node().Name)
	}
	var out []v1alpha1.PlacementRejection
	for _, g := range rejections.GroupBy(said, meter.Of, len(o.statuses)) {
		out = append(out, v1alpha1.PlacementRejection{
			Plugin: g.Plugin, Reason: g.Why(), Hosts: int32(g.Hosts), NodeNames: g.Names[:min(q.limit, len(g.Names))],
			Evictable: evictable.HasAny(g.Names...),
		})
	}
	return out
}

// rejected are the hosts that were, with what they say, taints by name.
func (q *inquiry) rejected(o *outcome) func(yield func(string, *fwk.Status) bool) {
	return func(yield func(string, *fwk.Status) bool) {
		for i, status := range o.statuses {
			switch {
			case status.IsSuccess():
				continue
			case len(status.Reasons()) == 0:
				// A host without a reason would not be counted.
				status = fwk.NewStatus(status.Code(), "no reason given").WithPlugin(status.Plugin())
			}
			node := q.situation.nodes[i].Node()
			if !yield(node.Name, rejections.NameTaints(status, o.pod, node)) {
				return
			}
		}
	}
}
