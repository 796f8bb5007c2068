package hostfragmentation

import (
	"context"
	"math"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

const stateKey fwk.StateKey = "PreScore" + Name

// state is what the VM asks for. It is never changed once written.
type state struct {
	request numa.Request
	ask     fleet.Ask
	// tally is the plugin's tally for that request: made once a cycle, since a
	// function made for each host would be an allocation each.
	tally func(*numa.Usage) int64
}

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

// PreScore implements framework.PreScorePlugin: the request is read once.
func (p *plugin) PreScore(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return fwk.AsStatus(err)
	}
	s := &state{request: request, ask: fleet.AskOf(pod, &request)}
	s.tally = func(usage *numa.Usage) int64 { return int64(p.tally(usage, &s.request)) }
	cs.Write(stateKey, s)
	return nil
}

// Score implements framework.ScorePlugin. A host without an executor has no
// places to lose.
func (p *plugin) Score(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	data, err := cs.Read(stateKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	asked := data.(*state)
	t, ok := p.fleet.UsageMemo(cs, node, p, &asked.ask, asked.tally)
	if !ok {
		return 0, nil
	}
	return t, nil
}

// tally is what the host loses with the VM on it.
func (p *plugin) tally(usage *numa.Usage, vm *numa.Request) tally {
	shapes := p.shapes
	if len(shapes) == 0 {
		own, n := ownShapes(usage.Host())
		shapes = own[:n]
	}
	t := tally(0)
	for i := range shapes {
		shape := &shapes[i].request
		before := numa.Room(usage, shape, maxPlaces)
		after := int64(0)
		if before > 0 {
			// VMs placed one by one may pack better beside another: no more than
			// there were are counted, so that this is no gain.
			after = numa.RoomAfter(usage, vm, shape, before)
		}
		t = t.with(i, before, before-after)
	}
	return t
}

// ScoreExtensions implements framework.ScorePlugin.
func (p *plugin) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore implements framework.ScoreExtensions. What a host costs is the
// share that it loses of the places on all hosts, as a weighted mean over the
// shapes: from 0 to 1. The host that costs least is 100, each other one as many
// points less as it costs percent more.
func (p *plugin) NormalizeScore(_ context.Context, _ fwk.CycleState, _ *corev1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	prices := p.prices(scores)
	least := math.Inf(1)
	for i := range scores {
		least = min(least, prices.of(tally(scores[i].Score)))
	}
	for i := range scores {
		more := prices.of(tally(scores[i].Score)) - least
		scores[i].Score = fwk.MaxScore - int64(math.Round(more*float64(fwk.MaxScore)))
	}
	return nil
}

// prices are what a place counts for, by shape: the scarcer, the more.
type prices [maxShapes]float64

func (p *plugin) prices(scores fwk.NodeScoreList) prices {
	var places [maxShapes]int64
	for i := range scores {
		for shape := range places {
			places[shape] += tally(scores[i].Score).places(shape)
		}
	}
	weights := int64(0)
	for shape := range places {
		if places[shape] > 0 {
			weights += p.weight(shape)
		}
	}
	var out prices
	for shape := range places {
		if places[shape] > 0 {
			out[shape] = float64(p.weight(shape)) / float64(weights) / float64(places[shape])
		}
	}
	return out
}

// weight is that of a shape by its index; a host's own shapes count the same.
func (p *plugin) weight(shape int) int64 {
	if shape < len(p.shapes) {
		return p.shapes[shape].weight
	}
	return 1
}

// of is what a host costs.
func (p *prices) of(t tally) float64 {
	var sum float64
	for shape := range p {
		sum += p[shape] * float64(t.lost(shape))
	}
	return sum
}
