// Package disklocality places VMs where their VirtualDisks are, or where there is
// room for those that are nowhere yet, and gives such disks their home.
package disklocality

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "DiskLocality"

const stateKey fwk.StateKey = "PreFilter" + Name

type plugin struct {
	fleet *fleet.Fleet
	disks *Disks
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.PreScorePlugin    = &plugin{}
	_ fwk.ScorePlugin       = &plugin{}
	_ fwk.ReservePlugin     = &plugin{}
	_ fwk.BindPlugin        = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
	_ fwk.SignPlugin        = &plugin{}
)

// Factory returns the plugin's factory. It has no arguments.
func Factory(f *fleet.Fleet, disks *Disks) frameworkruntime.PluginFactory {
	return func(_ context.Context, _ runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		if err := disks.FollowVMs(handle.SharedInformerFactory().Core().V1().Pods().Informer()); err != nil {
			return nil, err
		}
		return &plugin{fleet: f, disks: disks}, nil
	}
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// state is what the VM's disks ask for; it is never changed once written.
type state struct{ demand *demand }

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

func read(cs fwk.CycleState) (*demand, *fwk.Status) {
	data, err := cs.Read(stateKey)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return data.(*state).demand, nil
}

// PreFilter implements framework.PreFilterPlugin. A VM without VirtualDisks costs
// nothing more. One whose disks are somewhere is looked for a host there alone.
func (p *plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	names, err := podless.DisksOf(pod)
	switch {
	case err != nil:
		return nil, fwk.AsStatus(err)
	case len(names) == 0:
		return nil, fwk.NewStatus(fwk.Skip)
	case !p.fleet.Synced():
		return nil, fwk.AsStatus(fleet.ErrNotSynced)
	case !p.disks.Synced():
		return nil, fwk.AsStatus(ErrNotSynced)
	}
	vm, ok := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	if !ok {
		return nil, fwk.AsStatus(fmt.Errorf("placing pod %s/%s: %w", pod.Namespace, pod.Name, podless.ErrRealPod))
	}
	p.disks.mu.RLock()
	demand, why := p.disks.demandOf(pod.UID, vm, names)
	p.disks.mu.RUnlock()
	if why != "" {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, why)
	}
	cs.Write(stateKey, &state{demand: demand})
	if demand.node != "" {
		return &fwk.PreFilterResult{NodeNames: sets.New(demand.node)}, nil
	}
	return nil, nil
}

// PreFilterExtensions implements framework.PreFilterPlugin. No other VM's end
// frees what disks take.
func (*plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter implements framework.FilterPlugin. Evicting a host's VMs leaves their
// disks: nothing that is short is to be had by it.
func (p *plugin) Filter(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	demand, status := read(cs)
	if status != nil {
		return status
	}
	hv := p.fleet.Hypervisor(node.Node().Name)
	if hv == nil {
		return fleet.NoHost(node)
	}
	p.disks.mu.RLock()
	words := p.disks.lacks(demand, hv)
	p.disks.mu.RUnlock()
	if words == nil {
		return nil
	}
	// Of full length: whoever appends a reason gets a slice of his own.
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, words[:len(words):len(words)]...)
}

// SignPod implements framework.SignPlugin. Two VMs with VirtualDisks are not
// equal: where the first one goes the second has less room.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	if podless.DisksTextOf(pod) != "" {
		return nil, fwk.NewStatus(fwk.Unschedulable, "it has VirtualDisks")
	}
	return nil, nil
}
