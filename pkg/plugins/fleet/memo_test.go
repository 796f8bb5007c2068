package fleet

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
)

func TestAMemoIsOfOneStateOfTheHostAndOneAsk(t *testing.T) {
	f := New(nil)
	see := func(cpu int64) {
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: cpu, Memory: 1 << 30}
		f.See(hv)
	}
	see(4)
	node := framework.NewNodeInfo()
	node.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
		v1alpha1.ResourceCPU: resource.MustParse("8"), v1alpha1.ResourceMemory: resource.MustParse("1Gi"),
	}}})
	one, two := Ask{amounts: v1alpha1.GrantedResources{CPU: 1}}, Ask{amounts: v1alpha1.GrantedResources{CPU: 2}}
	derived := 0
	ask := func(by any, what *Ask) int64 {
		n, ok := f.UsageMemo(nil, node, by, what, func(u *numa.Usage) int64 {
			derived++
			return u.Free().CPU
		})
		if !ok {
			t.Fatal("the host is not known")
		}
		return n
	}
	for i, step := range []struct {
		by      any
		ask     *Ask
		before  func()
		want    int64
		derived int
	}{
		{by: "x", ask: &one, want: 4, derived: 1},
		{by: "x", ask: &one, want: 4, derived: 1},
		{by: "x", ask: &two, want: 4, derived: 2},
		{by: "y", ask: &two, want: 4, derived: 3},
		{by: "y", ask: &two, before: func() { see(6) }, want: 6, derived: 4},
		{by: "y", ask: &two, want: 6, derived: 4},
	} {
		if step.before != nil {
			step.before()
		}
		if got := ask(step.by, step.ask); got != step.want || derived != step.derived {
			t.Errorf("step %d: %d after %d derivations, want %d after %d", i, got, derived, step.want, step.derived)
		}
	}
	f.lost(&v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	if _, ok := f.UsageMemo(nil, node, "y", &two, nil); ok {
		t.Error("a host that is gone is still counted")
	}
}
