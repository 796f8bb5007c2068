package hostheadroom

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// PreScore implements framework.PreScorePlugin. Where Filter has run, all hosts
// that are left keep the promise.
func (p *plugin) PreScore(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	if p.mode == ModeFilter && !restarted(pod) {
		return fwk.NewStatus(fwk.Skip)
	}
	nodes, err := p.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return fwk.AsStatus(err)
	}
	s, err := p.plan(cs, pod, nodes)
	if err != nil {
		return fwk.AsStatus(err)
	}
	cs.Write(stateKey, s)
	return nil
}

// Score implements framework.ScorePlugin: half for leaving what is kept free for
// others, half for being able to restart the VM itself elsewhere.
func (p *plugin) Score(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	s, status := read(cs)
	if status != nil {
		return 0, status
	}
	h := p.planner.hosts[node.Node().Name]
	usage, ok := p.fleet.Usage(cs, node)
	if h == nil || !ok {
		return 0, nil
	}
	score := int64(0)
	if h.keeps(usage, s.vm) {
		score += fwk.MaxScore / 2
	}
	if p.planner.restartable(h, s.vm, s.candidates, s.without) {
		score += fwk.MaxScore / 2
	}
	return score, nil
}

// ScoreExtensions implements framework.ScorePlugin. Scores are absolute.
func (*plugin) ScoreExtensions() fwk.ScoreExtensions { return nil }
