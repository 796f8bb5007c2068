package heartbeat

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/util/taints"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestASilentHostIsTaintedUntilItIsHeardAgain(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clk := clocktesting.NewFakePassiveClock(start)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	renewed := metav1.NewMicroTime(start)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.LeaseNamespace, Name: "a"}}
	lease.Spec.RenewTime = &renewed
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	own := corev1.Taint{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule}
	node.Spec.Taints = []corev1.Taint{own}
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(hv).WithObjects(lease, node, hv).Build()
	controller := New(c, c, clk)

	look := func() (reconcile.Result, bool, *metav1.Condition) {
		t.Helper()
		result, err := controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, obj := range []client.Object{node, hv} {
			if err := c.Get(t.Context(), types.NamespacedName{Name: "a"}, obj); err != nil {
				t.Fatal(err)
			}
		}
		if len(node.Spec.Taints) == 0 || node.Spec.Taints[0] != own {
			t.Errorf("another's taint is gone: %v", node.Spec.Taints)
		}
		return result, taints.TaintKeyExists(node.Spec.Taints, v1alpha1.ExecutorUnreachableTaint), meta.FindStatusCondition(hv.Status.Conditions, v1alpha1.HypervisorReady)
	}

	clk.SetTime(start.Add(10 * time.Second))
	if result, silent, _ := look(); silent || result.RequeueAfter != 31*time.Second {
		t.Errorf("within the grace: tainted %t, looks again in %s", silent, result.RequeueAfter)
	}
	clk.SetTime(start.Add(Grace))
	if _, silent, ready := look(); !silent || ready == nil || ready.Status != metav1.ConditionUnknown {
		t.Errorf("after the grace: tainted %t, ready %+v", silent, ready)
	}
	if requests := controller.afterRenewal(t.Context(), lease); len(requests) != 1 {
		t.Errorf("a renewal of a silent host wakes %v", requests)
	}
	renewed = metav1.NewMicroTime(clk.Now())
	if err := c.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if _, silent, _ := look(); silent {
		t.Error("tainted after it was heard again")
	}
}
