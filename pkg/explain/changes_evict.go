package explain

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/podless"
)

// evictable are the indexes of nodes on which the VM would fit if all VMs of
// lower priority there were evicted. None where it must not evict.
func (q *inquiry) evictable(ctx context.Context, o *outcome) ([]int, error) {
	if p := o.pod.Spec.PreemptionPolicy; p != nil && *p == corev1.PreemptNever {
		return nil, nil
	}
	room := make([]bool, len(o.statuses))
	q.profile.Parallelizer().Until(ctx, len(o.statuses), func(i int) {
		// What PreFilter says of all nodes is of none in particular.
		if status := o.statuses[i]; status.Code() == fwk.Unschedulable && !o.rejectedAtOnce {
			room[i] = q.makesRoom(ctx, o, q.situation.nodes[i])
		}
	}, "explain")
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("trying evictions: %w", err)
	}
	var out []int
	for i := range room {
		if room[i] {
			out = append(out, i)
		}
	}
	return out, nil
}

// makesRoom says whether the VM fits without the VMs of lower priority.
func (q *inquiry) makesRoom(ctx context.Context, o *outcome, node fwk.NodeInfo) bool {
	lower := func(info fwk.PodInfo) bool {
		other := info.GetPod()
		return podless.IsProjected(other.Name) && !podless.IsGrowth(other.Name) && corehelpers.PodPriority(other) < corehelpers.PodPriority(o.pod)
	}
	if !slices.ContainsFunc(node.GetPods(), lower) {
		return false
	}
	left, state := node.Snapshot(), o.state.Clone()
	for _, info := range node.GetPods() {
		if !lower(info) {
			continue
		}
		if left.RemovePod(klog.FromContext(ctx), info.GetPod()) != nil ||
			!q.profile.RunPreFilterExtensionRemovePod(ctx, state, o.pod, info, left).IsSuccess() {
			return false
		}
	}
	return q.filter(ctx, state, o.pod, left).IsSuccess()
}
