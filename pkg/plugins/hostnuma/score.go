package hostnuma

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
)

// PreScore implements framework.PreScorePlugin: it skips scoring where all
// hosts that hold the VM are equal.
func (p *plugin) PreScore(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return fwk.NewStatus(fwk.Skip) // PreFilter skipped it
	}
	switch s.request.NUMA {
	case v1alpha1.NUMARestricted, v1alpha1.NUMASpread:
		return nil
	case v1alpha1.NUMASingleCell:
		if p.args.ScoringStrategy.Type != CellCount {
			return nil
		}
	}
	return fwk.NewStatus(fwk.Skip)
}

// Score implements framework.ScorePlugin.
func (p *plugin) Score(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	s, status := read(cs)
	if status != nil {
		return 0, status
	}
	usage, ok := p.fleet.Usage(cs, node)
	if !ok {
		return 0, nil
	}
	cells, utilization := numa.Quality(usage, &s.request)
	if cells == 0 {
		return 0, nil
	}
	switch p.args.ScoringStrategy.Type {
	case LeastAllocated:
		return fwk.MaxScore - utilization, nil
	case MostAllocated:
		return utilization, nil
	}
	if s.request.NUMA == v1alpha1.NUMARestricted {
		return fwk.MaxScore / int64(cells), nil
	}
	return int64(cells), nil
}

// ScoreExtensions implements framework.ScorePlugin. For spread the score is a
// number of cells, which NormalizeScore turns into a share of the most there
// are; all others are absolute.
func (p *plugin) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore implements framework.ScoreExtensions.
func (p *plugin) NormalizeScore(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return status
	}
	if s.request.NUMA != v1alpha1.NUMASpread || p.args.ScoringStrategy.Type != CellCount {
		return nil
	}
	most := int64(1)
	for i := range scores {
		most = max(most, scores[i].Score)
	}
	for i := range scores {
		scores[i].Score = scores[i].Score * fwk.MaxScore / most
	}
	return nil
}
