// Package hostheadroom keeps room to restart the VMs of any one host on the
// others (N+1): it turns away, or likes less, hosts on which a VM would take
// that room, or from which the VM itself could not be restarted.
package hostheadroom

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostHeadroom"

type plugin struct {
	mode    Mode
	fleet   *fleet.Fleet
	handle  fwk.Handle
	planner *planner
}

var (
	_ fwk.PreFilterPlugin     = &plugin{}
	_ fwk.PreFilterExtensions = &plugin{}
	_ fwk.FilterPlugin        = &plugin{}
	_ fwk.PreScorePlugin      = &plugin{}
	_ fwk.ScorePlugin         = &plugin{}
	_ fwk.EnqueueExtensions   = &plugin{}
	_ fwk.SignPlugin          = &plugin{}
)

// New returns the plugin's factory. Profiles with the same topology key share
// their plans. Wrong arguments are an error that names the field.
func New(f *fleet.Fleet) frameworkruntime.PluginFactory {
	var mu sync.Mutex
	planners := map[string]*planner{}
	return func(_ context.Context, obj runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := decode(obj)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		if planners[args.TopologyKey] == nil {
			planners[args.TopologyKey] = newPlanner(args.TopologyKey)
			f.OnDescribed(planners[args.TopologyKey].described.add)
		}
		return &plugin{mode: args.Mode, fleet: f, handle: handle, planner: planners[args.TopologyKey]}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// PreFilter implements framework.PreFilterPlugin: it brings the plans up to the
// snapshot. In mode Score, and for a VM that has run before, no host is turned
// away: what was kept free is for just such VMs.
func (p *plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	switch {
	case p.mode != ModeFilter || restarted(pod):
		return nil, fwk.NewStatus(fwk.Skip)
	case !p.fleet.Synced():
		return nil, fwk.AsStatus(fleet.ErrNotSynced)
	}
	s, err := p.plan(cs, pod, nodes)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	if !p.planner.open(s.vm, s.candidates) {
		p.planner.replan()
		s.candidates = p.planner.candidates(s.vm)
	}
	cs.Write(stateKey, s)
	return nil, nil
}

// restarted says whether an earlier binding of the VM has ended: it was evicted,
// or its host refused it or was lost.
func restarted(pod *corev1.Pod) bool {
	id, ok := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	return ok && id.Epoch > 0
}

// plan brings the plans up to the snapshot and looks the VM up in them.
func (p *plugin) plan(cs fwk.CycleState, pod *corev1.Pod, nodes []fwk.NodeInfo) (*state, error) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, err
	}
	// In a group's cycle the scheduler keeps a host's generation while it tries
	// the group's VMs there.
	p.planner.update(nodes, cs.IsPodGroupSchedulingCycle(), func(node fwk.NodeInfo) (*numa.Usage, bool) { return p.fleet.Usage(cs, node) })
	v := newVM(pod, request.Amounts())
	return &state{vm: v, candidates: p.planner.candidates(v)}, nil
}

// Filter implements framework.FilterPlugin.
func (p *plugin) Filter(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return status
	}
	h := p.planner.hosts[node.Node().Name]
	usage, ok := p.fleet.Usage(cs, node)
	if h == nil || !ok {
		// Without an executor it is no host, as others say.
		return nil
	}
	switch {
	case !p.planner.restartable(h, s.vm, s.candidates, s.without):
		code := fwk.Unschedulable
		if h.failure.alone(s.candidates) {
			// Evicting VMs here makes no room elsewhere.
			code = fwk.UnschedulableAndUnresolvable
		}
		return fwk.NewStatus(code, reasonOwn)
	case !h.keeps(usage, s.vm):
		return fwk.NewStatus(fwk.Unschedulable, p.reasonKept(h))
	}
	return nil
}

// reasonOwn says that the VM itself could not be restarted anywhere else.
const reasonOwn = "would leave too little room to restart this VM elsewhere (N+1)"

// reasonKept says for whom the host is kept free. It names one failure at most,
// so that equal reasons of many hosts are counted together.
func (p *plugin) reasonKept(h *host) string {
	whose := "another host"
	if f := p.planner.neediestFailure(); f != nil && f.on(h) != nil {
		whose = f.name
	}
	return "would leave too little room to restart " + whose + "'s VMs elsewhere (N+1)"
}

// SignPod implements framework.SignPlugin: VMs that ask for the same under the
// same policies are equal to this plugin, but for those that have run before.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return []fwk.SignFragment{
		{Key: "domus.dev/numa", Value: request},
		{Key: "domus.dev/restarted", Value: restarted(pod)},
	}, nil
}
