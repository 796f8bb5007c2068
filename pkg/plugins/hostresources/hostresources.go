// Package hostresources keeps VMs within what hosts report: CPU, memory and
// hugepages. Filter turns away hosts where a VM does not fit; Score prefers
// among the others as the scoring strategy says.
package hostresources

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostResources"

// stateKey is where PreFilter keeps what the VM asks for.
const stateKey fwk.StateKey = "PreFilter" + Name

type plugin struct {
	fleet  *fleet.Fleet
	scorer scorer
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.ScorePlugin       = &plugin{}
	_ fwk.ReservePlugin     = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
	_ fwk.SignPlugin        = &plugin{}
)

// New returns the plugin's factory. Wrong arguments are an error that names the
// field.
func New(f *fleet.Fleet) frameworkruntime.PluginFactory {
	return func(_ context.Context, obj runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := decode(obj)
		if err != nil {
			return nil, err
		}
		if err := f.FollowVMs(handle.SharedInformerFactory().Core().V1().Pods().Informer()); err != nil {
			return nil, err
		}
		return &plugin{fleet: f, scorer: newScorer(args.ScoringStrategy)}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// state is what the VM asks of a host, which is never changed once written, and
// the words for hosts that do not have it.
type state struct {
	request    numa.Request
	need       capacity.Resources
	rejections fleet.Rejections
}

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

// PreFilter implements framework.PreFilterPlugin: the request is read once.
func (*plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	cs.Write(stateKey, &state{request: request, need: request.Amounts()})
	return nil, nil
}

// PreFilterExtensions implements framework.PreFilterPlugin. Nothing in the
// state depends on other VMs: they are counted from the NodeInfo, which a dry
// run changes.
func (*plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

func read(cs fwk.CycleState) (*state, *fwk.Status) {
	data, err := cs.Read(stateKey)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return data.(*state), nil
}

// Filter implements framework.FilterPlugin: the host's totals, wherever on it
// the VM would lie.
func (p *plugin) Filter(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return status
	}
	usage, ok := p.fleet.Usage(cs, node)
	if !ok {
		return fleet.NoHost(node)
	}
	if numa.FitsTotals(usage, &s.request) {
		return nil
	}
	code := fwk.Unschedulable
	if empty, _ := p.fleet.Empty(cs, node); !numa.FitsTotals(empty, &s.request) {
		// Not even an empty host would do: evicting its VMs is in vain.
		code, usage = fwk.UnschedulableAndUnresolvable, empty
	}
	return s.rejections.Status(code, &s.request, numa.LacksOfTotals(usage, &s.request))
}

// Reserve implements framework.ReservePlugin: the amounts are the scheduler's
// to keep; only a VM that leaves room unused elsewhere is noted.
func (p *plugin) Reserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, node string) *fwk.Status {
	p.fleet.Took(pod, node)
	return nil
}

// Unreserve implements framework.ReservePlugin.
func (*plugin) Unreserve(context.Context, fwk.CycleState, *corev1.Pod, string) {}

// SignPod implements framework.SignPlugin: VMs that ask for equal amounts under
// equal policies are equal to this plugin.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return []fwk.SignFragment{{Key: fwk.ResourcesSignerName, Value: request}}, nil
}
