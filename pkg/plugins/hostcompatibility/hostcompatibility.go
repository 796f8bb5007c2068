// Package hostcompatibility keeps VMs off hosts that cannot run their kind of
// guest: another architecture, or a kind of virtualization they do not offer.
package hostcompatibility

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostCompatibility"

const stateKey fwk.StateKey = "PreFilter" + Name

type plugin struct {
	fleet *fleet.Fleet
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
	_ fwk.SignPlugin        = &plugin{}
)

// New returns the plugin's factory. It takes no arguments.
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

// state is the guest, and the reason for which hosts without it are turned away.
type state struct {
	guest  podless.Guest
	reason string
}

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

// PreFilter implements framework.PreFilterPlugin. A VM that leaves the kind of
// guest to its host, as most do, costs nothing more.
func (p *plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	guest := podless.GuestOf(pod.Annotations).Kind()
	if guest.OfAnyKind() {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	if !p.fleet.Synced() {
		return nil, fwk.AsStatus(fleet.ErrNotSynced)
	}
	cs.Write(stateKey, &state{guest: guest, reason: reason(guest)})
	return nil, nil
}

func reason(g podless.Guest) string {
	switch {
	case g.Arch == "":
		return fmt.Sprintf("host(s) run no %s guests", g.Type)
	case g.Type == "":
		return fmt.Sprintf("host(s) run no guests for %s", g.Arch)
	}
	return fmt.Sprintf("host(s) run no %s guests for %s", g.Type, g.Arch)
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
	s := data.(*state)
	if hv := p.fleet.Hypervisor(node.Node().Name); hv != nil && runs(hv.Status.DomainTypes, s.guest) {
		return nil
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, s.reason)
}

func runs(offered []v1alpha1.DomainType, g podless.Guest) bool {
	for i := range offered {
		if (g.Type == "" || g.Type == offered[i].Type) && (g.Arch == "" || g.Arch == offered[i].Arch) {
			return true
		}
	}
	return false
}

// SignPod implements framework.SignPlugin.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	return []fwk.SignFragment{{Key: "domus.dev/guest", Value: podless.GuestOf(pod.Annotations).Kind()}}, nil
}

// EventsToRegister implements framework.EnqueueExtensions: a VM whose kind of
// guest no host ran is tried again when a host comes to offer it.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fleet.Resource, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: p.afterHostDescribed},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add}},
	}, nil
}

// afterHostDescribed queues when the host runs the guest now and did not
// before.
func (p *plugin) afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	now, err := fleet.ReadHypervisor(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	p.fleet.See(now)
	guest := podless.GuestOf(pod.Annotations)
	if !runs(now.Status.DomainTypes, guest) {
		return fwk.QueueSkip, nil
	}
	if oldObj != nil {
		if before, err := fleet.ReadHypervisor(oldObj); err == nil && runs(before.Status.DomainTypes, guest) {
			logger.V(5).Info("Hypervisor changed and runs the same guests", "pod", klog.KObj(pod))
			return fwk.QueueSkip, nil
		}
	}
	return fwk.Queue, nil
}
