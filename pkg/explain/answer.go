package explain

import (
	"context"
	"fmt"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// explain answers where the VM would be placed now, and why.
func (q *inquiry) explain(ctx context.Context, now *outcome) (*v1alpha1.PlacementReviewStatus, error) {
	answer := q.survey(now)
	candidates, err := q.candidates(ctx, now)
	if err != nil {
		return nil, err
	}
	if len(now.fits) == 0 {
		if answer.Changes, err = q.changes(ctx, now); err != nil {
			return nil, err
		}
	}
	answer.Message = sentence(answer, candidates, q.nominated, q.vm.Spec.SchedulingGroup != nil)
	answer.Candidates = candidates[:min(q.limit, len(candidates))]
	return answer, nil
}

// survey counts hosts and why they were rejected.
func (q *inquiry) survey(o *outcome) *v1alpha1.PlacementReviewStatus {
	answer := &v1alpha1.PlacementReviewStatus{NodeName: q.on, Feasible: int32(len(o.fits)), Rejections: rejections(q.refusals(o), q.limit)}
	for _, node := range q.situation.nodes {
		if q.host(node) {
			answer.Hosts++
		}
	}
	return answer
}

// candidates are all hosts that fit with their scores, the best first.
func (q *inquiry) candidates(ctx context.Context, o *outcome) ([]v1alpha1.PlacementCandidate, error) {
	if len(o.fits) == 0 {
		return nil, nil
	}
	var nodes []fwk.NodeInfo
	for _, i := range o.fits {
		nodes = append(nodes, q.situation.nodes[i])
	}
	if status := q.profile.RunPreScorePlugins(ctx, o.state, o.pod, nodes); !status.IsSuccess() {
		return nil, fmt.Errorf("asking the plugins how good the hosts are: %w", status.AsError())
	}
	scores, status := q.profile.RunScorePlugins(ctx, o.state, o.pod, nodes)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("asking the plugins how good the hosts are: %w", err)
	}
	if !status.IsSuccess() {
		return nil, fmt.Errorf("asking the plugins how good the hosts are: %w", status.AsError())
	}
	return ranked(scores), nil
}
