// Package hostnuma places VMs on the NUMA cells of hosts: it turns away hosts
// on whose cells a VM does not fit, prefers those whose cells suit it, and
// chooses and holds its cells, hugepages, dedicated CPUs and devices.
package hostnuma

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostNUMA"

const stateKey fwk.StateKey = "PreFilter" + Name

type plugin struct {
	args   Args
	fleet  *fleet.Fleet
	handle fwk.Handle
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.PreScorePlugin    = &plugin{}
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
		return &plugin{args: args, fleet: f, handle: handle}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// state is what the VM asks of cells, CPUs and devices, which is never changed
// once written, and the words for hosts that do not have it.
type state struct {
	request    numa.Request
	rejections fleet.Rejections
}

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

// PreFilter implements framework.PreFilterPlugin. A VM that binds nothing to
// cells, as most do, costs nothing more.
func (p *plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	request, err := podless.NUMARequestOf(pod)
	switch {
	case err != nil:
		return nil, fwk.AsStatus(err)
	case request.Floats():
		return nil, fwk.NewStatus(fwk.Skip)
	case !p.fleet.Synced():
		return nil, fwk.AsStatus(fleet.ErrNotSynced)
	}
	cs.Write(stateKey, &state{request: request})
	return nil, nil
}

// PreFilterExtensions implements framework.PreFilterPlugin. Nothing in the
// state depends on other VMs: their cells are counted from the NodeInfo, which
// a dry run of a preemption changes.
func (*plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

func read(cs fwk.CycleState) (*state, *fwk.Status) {
	data, err := cs.Read(stateKey)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return data.(*state), nil
}

// Filter implements framework.FilterPlugin.
func (p *plugin) Filter(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return status
	}
	usage, ok := p.fleet.Usage(cs, node)
	if !ok {
		return fleet.NoHost(node)
	}
	if numa.Fits(usage, &s.request) {
		return nil
	}
	code := fwk.Unschedulable
	if empty, _ := p.fleet.Empty(cs, node); !numa.Fits(empty, &s.request) {
		// Not even an empty host would do: evicting its VMs is in vain.
		code, usage = fwk.UnschedulableAndUnresolvable, empty
	}
	lack, _ := numa.Lacks(usage, &s.request)
	return s.rejections.Status(code, &s.request, numa.OneLack(lack))
}

// SignPod implements framework.SignPlugin: VMs that ask for the same under the
// same policies are equal to this plugin.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return []fwk.SignFragment{{Key: "domus.dev/numa", Value: request}}, nil
}
