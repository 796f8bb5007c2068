package hostresources

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/podless"
)

// Score implements framework.ScorePlugin: the mean, over the resources the VM
// asks for, of the share of the host that stays free with the VM on it, from 0
// to 100.
func (*plugin) Score(_ context.Context, cs fwk.CycleState, _ *corev1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	s, status := read(cs)
	if status != nil {
		return 0, status
	}
	total, _ := podless.Allocatable(node)
	return leastAllocated(total, podless.Used(node).Add(s.need), s.need), nil
}

// ScoreExtensions implements framework.ScorePlugin. Scores are absolute shares
// and need no normalisation.
func (*plugin) ScoreExtensions() fwk.ScoreExtensions { return nil }

// scored are the resources that count; an array, so that ranging over it
// allocates nothing.
var scored = [...]corev1.ResourceName{
	v1alpha1.ResourceCPU, v1alpha1.ResourceMemory, v1alpha1.ResourceHugepages2Mi, v1alpha1.ResourceHugepages1Gi,
}

func leastAllocated(total, used, need capacity.Resources) int64 {
	var sum, count int64
	for _, name := range scored {
		if need.Of(name) <= 0 {
			continue
		}
		count++
		if t, u := total.Of(name), used.Of(name); t > 0 && u < t {
			// Bytes times 100 stay far below the 63 bits there are.
			sum += (t - max(u, 0)) * fwk.MaxScore / t
		}
	}
	if count == 0 {
		return fwk.MaxScore
	}
	return sum / count
}
