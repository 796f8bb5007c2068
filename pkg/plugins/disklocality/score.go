package disklocality

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// PreScore implements framework.PreScorePlugin: it skips scoring where no disk is
// to be made.
func (p *plugin) PreScore(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	if demand, status := read(cs); status != nil || len(demand.space) == 0 {
		return fwk.NewStatus(fwk.Skip)
	}
	return nil
}

// Score implements framework.ScorePlugin: the share of its pools that would be
// left, of the fullest of them. Where a disk is made it stays, and may grow.
func (p *plugin) Score(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	demand, status := read(cs)
	if status != nil {
		return 0, status
	}
	hv := p.fleet.Hypervisor(node.Node().Name)
	if hv == nil {
		return 0, nil
	}
	p.disks.mu.RLock()
	defer p.disks.mu.RUnlock()
	score := fwk.MaxScore
	for i := range demand.space {
		s := &demand.space[i]
		pool := poolOf(hv, s.pool)
		if pool == nil || pool.Allocatable <= 0 {
			return 0, nil
		}
		left := pool.Allocatable - p.disks.claims[placeIn(hv.Name, pool)] - s.bytes
		score = min(score, share(left, pool.Allocatable))
	}
	return score, nil
}

// share is left of all from 0 to MaxScore, without overflow for any sizes.
func share(left, all int64) int64 {
	return max(min(int64(float64(left)/float64(all)*float64(fwk.MaxScore)), fwk.MaxScore), 0)
}

// ScoreExtensions implements framework.ScorePlugin.
func (*plugin) ScoreExtensions() fwk.ScoreExtensions { return nil }
