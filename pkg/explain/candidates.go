package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

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

// ranked are hosts by their scores, the best first, and equal ones by name.
func ranked(scores []fwk.NodePluginScores) []v1alpha1.PlacementCandidate {
	out := make([]v1alpha1.PlacementCandidate, 0, len(scores))
	for i := range scores {
		one := v1alpha1.PlacementCandidate{NodeName: scores[i].Name, Score: scores[i].TotalScore}
		for _, s := range scores[i].Scores {
			one.Plugins = append(one.Plugins, v1alpha1.PluginScore{Name: s.Name, Score: s.Score})
		}
		slices.SortFunc(one.Plugins, func(a, b v1alpha1.PluginScore) int { return cmp.Compare(a.Name, b.Name) })
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b v1alpha1.PlacementCandidate) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.NodeName, b.NodeName))
	})
	return out
}
