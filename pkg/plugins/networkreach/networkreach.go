// Package networkreach places VMs on hosts that can have the VirtualNetworks of
// their cards, and lets no two VMs with a host have a card of the same address.
package networkreach

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "NetworkReach"

const stateKey fwk.StateKey = "PreFilter" + Name

type plugin struct {
	fleet    *fleet.Fleet
	networks *Networks
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.ReservePlugin     = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
	_ fwk.SignPlugin        = &plugin{}
)

// Factory returns the plugin's factory. It has no arguments.
func Factory(f *fleet.Fleet, networks *Networks) frameworkruntime.PluginFactory {
	return func(_ context.Context, _ runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		if err := networks.FollowVMs(handle.SharedInformerFactory().Core().V1().Pods().Informer()); err != nil {
			return nil, err
		}
		return &plugin{fleet: f, networks: networks}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// state is what the VM's networks ask of hosts; it is never changed once written.
type state struct{ demand *demand }

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

// PreFilter implements framework.PreFilterPlugin. A VM without cards of
// spec.interfaces costs nothing more, and one whose networks any host can have
// looks at none.
func (p *plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	cards, err := podless.InterfacesOf(pod)
	switch {
	case err != nil:
		return nil, fwk.AsStatus(err)
	case len(cards) == 0:
		return nil, fwk.NewStatus(fwk.Skip)
	case !p.fleet.Synced():
		return nil, fwk.AsStatus(fleet.ErrNotSynced)
	case !p.networks.Synced():
		return nil, fwk.AsStatus(ErrNotSynced)
	}
	vm, ok := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	if !ok {
		return nil, fwk.AsStatus(fmt.Errorf("placing pod %s/%s: %w", pod.Namespace, pod.Name, podless.ErrRealPod))
	}
	p.networks.mu.RLock()
	demand, why := p.networks.demandOf(pod.UID, vm, cards)
	p.networks.mu.RUnlock()
	switch {
	case why != "":
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, why)
	case demand.any():
		return nil, fwk.NewStatus(fwk.Skip)
	}
	cs.Write(stateKey, &state{demand: demand})
	return nil, nil
}

// PreFilterExtensions implements framework.PreFilterPlugin. No other VM's end makes
// an interface appear.
func (*plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter implements framework.FilterPlugin. A host gives up a network that is in the
// way when its VMs have gone; that is no reason to evict them.
func (p *plugin) Filter(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	data, err := cs.Read(stateKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	hv := p.fleet.Hypervisor(node.Node().Name)
	if hv == nil {
		return fleet.NoHost(node)
	}
	p.networks.mu.RLock()
	words := p.networks.lacks(data.(*state).demand, hv, node.Node().Labels)
	p.networks.mu.RUnlock()
	if words == nil {
		return nil
	}
	// Of full length: whoever appends a reason gets a slice of his own.
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, words[:len(words):len(words)]...)
}

// Reserve implements framework.ReservePlugin: from here on the addresses of the VM's
// cards are its own.
func (p *plugin) Reserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, _ string) *fwk.Status {
	cards, err := podless.InterfacesOf(pod)
	switch {
	case err != nil:
		return fwk.AsStatus(err)
	case len(cards) == 0:
		return nil
	}
	p.networks.mu.Lock()
	defer p.networks.mu.Unlock()
	// Another VM may have been given one since PreFilter looked.
	if why := p.networks.taken(pod, cards); why != "" {
		return fwk.NewStatus(fwk.Unschedulable, why)
	}
	p.networks.take(pod, cards, false)
	return nil
}

// Unreserve implements framework.ReservePlugin.
func (p *plugin) Unreserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, _ string) {
	if podless.InterfacesTextOf(pod) == "" {
		return
	}
	p.networks.mu.Lock()
	defer p.networks.mu.Unlock()
	if held := p.networks.holders[pod.UID]; held != nil && !held.bound {
		p.networks.give(pod.UID)
	}
}

// SignPod implements framework.SignPlugin. Two VMs with cards are not equal: their
// cards have addresses of their own.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	if podless.InterfacesTextOf(pod) != "" {
		return nil, fwk.NewStatus(fwk.Unschedulable, "it has network cards")
	}
	return nil, nil
}
