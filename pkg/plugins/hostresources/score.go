package hostresources

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// scored are the resources that can count, with the names that arguments use.
var scored = [...]struct {
	short string
	name  corev1.ResourceName
}{
	{"cpu", v1alpha1.ResourceCPU},
	{"memory", v1alpha1.ResourceMemory},
	{"hugepages-2Mi", v1alpha1.ResourceHugepages2Mi},
	{"hugepages-1Gi", v1alpha1.ResourceHugepages1Gi},
}

// scorer is a strategy made ready.
type scorer struct {
	resources []weighted
	// of turns the utilization of a resource, from 0 to 100, into a score from
	// 0 to 100.
	of func(utilization int64) int64
}

type weighted struct {
	name   corev1.ResourceName
	weight int64
}

func newScorer(s ScoringStrategy) scorer {
	out := scorer{}
	for _, r := range s.Resources {
		out.resources = append(out.resources, weighted{name: nameOf(r.Name), weight: r.Weight})
	}
	switch s.Type {
	case MostAllocated:
		out.of = func(utilization int64) int64 { return utilization }
	case RequestedToCapacityRatio:
		var shape helper.FunctionShape
		for _, p := range s.RequestedToCapacityRatio.Shape {
			shape = append(shape, helper.FunctionShapePoint{Utilization: p.Utilization, Score: p.Score * (fwk.MaxScore / maxPointScore)})
		}
		out.of = helper.BuildBrokenLinearFunction(shape)
	default:
		out.of = func(utilization int64) int64 { return fwk.MaxScore - utilization }
	}
	return out
}

// score is the weighted mean, over the resources the VM asks for, of the
// strategy's score of their utilization with the VM on the host. A host that
// offers nothing of a resource, or less than is used, scores 0 for it.
func (s *scorer) score(total, used, need capacity.Resources) int64 {
	var sum, weights int64
	for _, r := range s.resources {
		if need.Of(r.name) <= 0 {
			continue
		}
		weights += r.weight
		if t, u := total.Of(r.name), used.Of(r.name); t > 0 && u <= t {
			// Bytes times 100 stay far below the 63 bits there are.
			sum += s.of(max(u, 0)*fwk.MaxScore/t) * r.weight
		}
	}
	if weights == 0 {
		return fwk.MaxScore
	}
	return sum / weights
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
	total := usage.Host().Allocatable
	return p.scorer.score(total, total.Sub(usage.Free()).Add(s.need), s.need), nil
}

// ScoreExtensions implements framework.ScorePlugin. Scores are absolute shares
// and need no normalisation.
func (*plugin) ScoreExtensions() fwk.ScoreExtensions { return nil }
