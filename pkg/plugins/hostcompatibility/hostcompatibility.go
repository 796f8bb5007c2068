// Package hostcompatibility keeps VMs off hosts that cannot run their kind of
// guest: another architecture, or a kind of virtualization they do not offer.
package hostcompatibility

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostCompatibility"

const stateKey fwk.StateKey = "PreFilter" + Name

// hypervisors is how the scheduler's queue knows the resource.
const hypervisors fwk.EventResource = "hypervisors.v1alpha1.domus.dev"

// Informer is the part of an informer of Hypervisors that is needed here.
type Informer interface {
	AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
}

type plugin struct {
	// hosts holds what each host offers: name to []v1alpha1.DomainType.
	hosts sync.Map
	// synced says whether all hosts are in it.
	synced func() bool
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
	_ fwk.SignPlugin        = &plugin{}
)

// New returns the plugin's factory. It takes no arguments.
func New(informer Informer) frameworkruntime.PluginFactory {
	return func(_ context.Context, args runtime.Object, _ fwk.Handle) (fwk.Plugin, error) {
		if unknown, ok := args.(*runtime.Unknown); args != nil && (!ok || len(unknown.Raw) > 0) {
			return nil, fmt.Errorf("pluginConfig[%s].args: this plugin takes none, remove them", Name)
		}
		p := &plugin{}
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: p.see, UpdateFunc: func(_, obj any) { p.see(obj) }, DeleteFunc: p.forget,
		})
		if err != nil {
			return nil, fmt.Errorf("watching Hypervisors: %w", err)
		}
		p.synced = registration.HasSynced
		return p, nil
	}
}

func (p *plugin) see(obj any) {
	if hv, ok := obj.(*v1alpha1.Hypervisor); ok {
		p.hosts.Store(hv.Name, hv.Status.DomainTypes)
	}
}

func (p *plugin) forget(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		p.hosts.Delete(unknown.Key)
		return
	}
	if hv, ok := obj.(*v1alpha1.Hypervisor); ok {
		p.hosts.Delete(hv.Name)
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
	if !p.synced() {
		// The scheduler does not wait for this informer when it starts. An error
		// has the VM tried again soon, where no event would.
		return nil, fwk.NewStatus(fwk.Error, "the hosts' Hypervisors have not been read yet")
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
	if offered, ok := p.hosts.Load(node.Node().Name); ok && runs(offered.([]v1alpha1.DomainType), s.guest) {
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
		{Event: fwk.ClusterEvent{Resource: hypervisors, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: p.afterHostDescribed},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add}},
	}, nil
}

// afterHostDescribed queues when the host runs the guest now and did not
// before.
func (p *plugin) afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	name, now, err := offers(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	// The queue's watch may be ahead of ours: the VM must find what woke it.
	p.hosts.Store(name, now)
	guest := podless.GuestOf(pod.Annotations)
	if !runs(now, guest) {
		return fwk.QueueSkip, nil
	}
	if oldObj != nil {
		if _, before, err := offers(oldObj); err == nil && runs(before, guest) {
			logger.V(5).Info("Hypervisor changed and runs the same guests", "pod", klog.KObj(pod))
			return fwk.QueueSkip, nil
		}
	}
	return fwk.Queue, nil
}

// offers reads what a host runs from the queue's own watch, which knows no
// types.
func offers(obj any) (string, []v1alpha1.DomainType, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return "", nil, fmt.Errorf("expected a Hypervisor that changed, got %T", obj)
	}
	hv := &v1alpha1.Hypervisor{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, hv); err != nil {
		return "", nil, fmt.Errorf("reading Hypervisor %s: %w", u.GetName(), err)
	}
	return hv.Name, hv.Status.DomainTypes, nil
}
