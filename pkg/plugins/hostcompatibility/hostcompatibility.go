// Package hostcompatibility keeps VMs off hosts that cannot run their kind of
// guest, by what each host's Hypervisor says that it offers.
package hostcompatibility

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostCompatibility"

const stateKey fwk.StateKey = "PreFilter" + Name

// undescribed is the reason for which a Node without a Hypervisor is turned
// away: it has no vm-executor, or one that has just begun.
const undescribed = fleet.ReasonNoHypervisor

type plugin struct {
	fleet *fleet.Fleet
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
	_ fwk.SignPlugin        = &plugin{}
)

// New returns the plugin's factory. It takes no arguments: what a host lacks is
// no matter of taste, and a VM that does not mind says so itself.
func New(f *fleet.Fleet) frameworkruntime.PluginFactory {
	return func(_ context.Context, args runtime.Object, _ fwk.Handle) (fwk.Plugin, error) {
		if unknown, ok := args.(*runtime.Unknown); args != nil && (!ok || len(unknown.Raw) > 0) {
			return nil, fmt.Errorf("pluginConfig[%s].args: this plugin takes none, remove them", Name)
		}
		return &plugin{fleet: f}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// state is what the VM demands of hosts. It is never changed once written.
type state struct{ demands demands }

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

// PreFilter implements framework.PreFilterPlugin. A VM that any host can run, as
// most are, or that every sort of host that there is can run, costs nothing
// more. Nodes without a Hypervisor are then left to HostResources.
func (p *plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	demands, err := demandsOf(pod)
	switch {
	case err != nil:
		return nil, fwk.AsStatus(err)
	case len(demands.list) == 0:
		return nil, fwk.NewStatus(fwk.Skip)
	case !p.fleet.Synced():
		return nil, fwk.AsStatus(fleet.ErrNotSynced)
	case demands.ofSorts() && p.fleet.EverySort(func(hv *v1alpha1.HypervisorStatus) bool { return demands.unmet(hv) == nil }):
		return nil, fwk.NewStatus(fwk.Skip)
	}
	cs.Write(stateKey, &state{demands: demands})
	return nil, nil
}

// PreFilterExtensions implements framework.PreFilterPlugin: other VMs do not
// matter.
func (*plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter implements framework.FilterPlugin. No eviction makes a host run
// another kind of guest.
func (p *plugin) Filter(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	data, err := cs.Read(stateKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	hv := p.fleet.Hypervisor(node.Node().Name)
	if hv == nil {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, undescribed)
	}
	if lacking := data.(*state).demands.unmet(&hv.Status); lacking != nil {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, lacking.reason)
	}
	return nil
}

// SignPod implements framework.SignPlugin: VMs that demand the same are equal to
// this plugin.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	devices, err := devicesOf(pod)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return []fwk.SignFragment{
		{Key: "domus.dev/guest", Value: podless.GuestOf(pod.Annotations).Kind()},
		{Key: "domus.dev/devices", Value: devices},
	}, nil
}
