// Package hostresources keeps VMs within what hosts report: CPU, memory and
// hugepages. Filter turns away hosts where a VM does not fit; Score prefers
// among the others as the scoring strategy says.
package hostresources

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/podless"
)

// Name is the plugin's name in a scheduler configuration.
const Name = "HostResources"

// stateKey is where PreFilter keeps what the VM asks for.
const stateKey fwk.StateKey = "PreFilter" + Name

// Reasons for which a host is turned away, in a VM's Scheduled condition.
const (
	ReasonNoExecutor = "host(s) run no vm-executor"
	reasonShort      = "Insufficient "
)

type plugin struct {
	scorer scorer
}

var (
	_ fwk.PreFilterPlugin   = &plugin{}
	_ fwk.FilterPlugin      = &plugin{}
	_ fwk.ScorePlugin       = &plugin{}
	_ fwk.EnqueueExtensions = &plugin{}
	_ fwk.SignPlugin        = &plugin{}
)

// New makes the plugin from its Args. Wrong arguments are an error that names
// the field.
func New(_ context.Context, obj runtime.Object, _ fwk.Handle) (fwk.Plugin, error) {
	args, err := decode(obj)
	if err != nil {
		return nil, err
	}
	return &plugin{scorer: newScorer(args.ScoringStrategy)}, nil
}

// Name implements framework.Plugin.
func (*plugin) Name() string { return Name }

// state is what the VM asks of a host. It is never changed once written.
type state struct {
	need capacity.Resources
}

// Clone implements framework.StateData.
func (s *state) Clone() fwk.StateData { return s }

// PreFilter implements framework.PreFilterPlugin: the request is summed once.
func (*plugin) PreFilter(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	cs.Write(stateKey, &state{need: podless.RequestOf(pod)})
	return nil, nil
}

// PreFilterExtensions implements framework.PreFilterPlugin. Nothing in the
// state depends on other VMs, so a dry run changes nothing.
func (*plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

func read(cs fwk.CycleState) (*state, *fwk.Status) {
	data, err := cs.Read(stateKey)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	return data.(*state), nil
}

// Filter implements framework.FilterPlugin.
func (*plugin) Filter(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	s, status := read(cs)
	if status != nil {
		return status
	}
	total, ok := podless.Allocatable(node)
	if !ok {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, ReasonNoExecutor)
	}
	free := total.Sub(podless.Used(node))
	if capacity.Fits(free, s.need) {
		return nil
	}
	if short := capacity.Shortages(total, s.need); short != nil {
		// Not even an empty host would do: evicting its VMs is in vain.
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reasons(short)...)
	}
	return fwk.NewStatus(fwk.Unschedulable, reasons(capacity.Shortages(free, s.need))...)
}

// reasons names resources without amounts, so that equal reasons of many hosts
// are counted together.
func reasons(short []capacity.Shortage) []string {
	out := make([]string, 0, len(short))
	for _, s := range short {
		switch s.Resource {
		case v1alpha1.ResourceCPU:
			out = append(out, reasonShort+"cpu")
		case v1alpha1.ResourceMemory:
			out = append(out, reasonShort+"memory")
		case v1alpha1.ResourceHugepages2Mi:
			out = append(out, reasonShort+"hugepages-2Mi")
		case v1alpha1.ResourceHugepages1Gi:
			out = append(out, reasonShort+"hugepages-1Gi")
		}
	}
	return out
}

// SignPod implements framework.SignPlugin: VMs that ask for equal amounts are
// equal to this plugin.
func (*plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	return []fwk.SignFragment{{Key: fwk.ResourcesSignerName, Value: podless.RequestOf(pod)}}, nil
}
