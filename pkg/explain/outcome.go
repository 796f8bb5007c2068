package explain

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/podless"
)

// outcome is what the plugins say of a VM on all hosts.
type outcome struct {
	pod     *corev1.Pod
	request numa.Request
	state   fwk.CycleState
	// allowed are the nodes that PreFilter leaves.
	allowed confined
	// statuses are by index of the situation's nodes; nil where the VM fits, and
	// where nobody was asked.
	statuses []*fwk.Status
	// fits are the indexes of nodes on which the VM fits, ascending.
	fits []int
	// rejectedAtOnce says that PreFilter rejected all nodes.
	rejectedAtOnce bool
}

// try runs the filters for the VM on all nodes.
func (q *inquiry) try(ctx context.Context, vm *v1alpha1.VirtualMachine) (*outcome, error) {
	return q.tryOn(ctx, vm, nil)
}

// tryOn is try on the nodes at some indexes; nil is all.
func (q *inquiry) tryOn(ctx context.Context, vm *v1alpha1.VirtualMachine, some []int) (*outcome, error) {
	o, rejected, err := q.begin(ctx, q.project(vm))
	if err != nil {
		return nil, err
	}
	if some == nil {
		some = make([]int, len(q.situation.nodes))
		for i := range some {
			some[i] = i
		}
	}
	if rejected != nil {
		o.rejectedAtOnce = true
		for _, i := range some {
			o.statuses[i] = rejected
		}
		return o, nil
	}
	fits := make([]bool, len(some))
	var failed atomic.Pointer[fwk.Status]
	q.profile.Parallelizer().Until(ctx, len(some), func(n int) {
		i := some[n]
		status := o.allowed.also(q.filter(ctx, o.state, o.pod, q.situation.nodes[i]), q.situation.nodes[i])
		o.statuses[i], fits[n] = status, status.IsSuccess()
		if !status.IsSuccess() && !status.IsRejected() {
			failed.Store(status)
		}
	}, "explain")
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("asking the plugins about all hosts: %w", err)
	}
	if status := failed.Load(); status != nil {
		return nil, fmt.Errorf("asking the plugins about a host: %w", status.AsError())
	}
	for n, i := range some {
		if fits[n] {
			o.fits = append(o.fits, i)
		}
	}
	return o, nil
}

// begin runs PreFilter: the outcome has no statuses yet. What PreFilter says of all
// nodes is returned if it rejects them.
func (q *inquiry) begin(ctx context.Context, pod *corev1.Pod) (*outcome, *fwk.Status, error) {
	request, err := podless.NUMARequestOf(pod)
	if err != nil {
		return nil, nil, err
	}
	o := &outcome{pod: pod, request: request, state: framework.NewCycleState(), statuses: make([]*fwk.Status, len(q.situation.nodes))}
	result, status, by := q.profile.RunPreFilterPlugins(ctx, o.state, pod)
	switch {
	case status.IsRejected():
		if status.Plugin() == "" {
			status.SetPlugin(strings.Join(sets.List(by), ", "))
		}
		return o, status, nil
	case !status.IsSuccess():
		return nil, nil, fmt.Errorf("asking the plugins about the VM: %w", status.AsError())
	case !result.AllNodes():
		o.allowed = confined{to: result.NodeNames, by: strings.Join(sets.List(by), ", ")}
	}
	return o, nil, nil
}

// confined are the nodes that PreFilter plugins leave; the zero value is all.
type confined struct {
	to sets.Set[string]
	by string
}

// also is the status of a node for which the filters say status. What PreFilter
// leaves out neither eviction nor time opens; where a filter says so itself its
// words say more.
func (c confined) also(status *fwk.Status, node fwk.NodeInfo) *fwk.Status {
	switch {
	case c.to == nil || c.to.Has(node.Node().Name):
		return status
	case status.IsSuccess(), status.Code() == fwk.Unschedulable:
		// In kube-scheduler's words.
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("node(s) didn't satisfy plugin(s) [%s]", c.by)).WithPlugin(c.by)
	}
	return status
}

// takes says whether the node takes the VM in a state of the outcome's cycle.
func (q *inquiry) takes(ctx context.Context, o *outcome, state fwk.CycleState, node fwk.NodeInfo) (bool, error) {
	status := o.allowed.also(q.filter(ctx, state, o.pod, node), node)
	if !status.IsSuccess() && !status.IsRejected() {
		return false, fmt.Errorf("asking the plugins about host %s: %w", node.Node().Name, status.AsError())
	}
	return status.IsSuccess(), nil
}

// filter says whether the VM fits on a node, also beside VMs for which room is
// being made there and which go before it.
func (q *inquiry) filter(ctx context.Context, state fwk.CycleState, pod *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	return q.profile.RunFilterPluginsWithNominatedPods(ctx, state, pod, node)
}

// promised are the VMs for which room is being made on the node and that go
// before the Pod.
func (q *inquiry) promised(pod *corev1.Pod, node string) []fwk.PodInfo {
	var out []fwk.PodInfo
	for _, info := range q.nominator.NominatedPodsForNode(node) {
		if other := info.GetPod(); other.UID != pod.UID && corehelpers.PodPriority(other) >= corehelpers.PodPriority(pod) {
			out = append(out, info)
		}
	}
	return out
}
