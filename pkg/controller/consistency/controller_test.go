package consistency

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

const gib = int64(1) << 30

// described is a host of one cell that reports r.
func described(r capacity.Resources) v1alpha1.HypervisorStatus {
	return v1alpha1.HypervisorStatus{Allocatable: r.Host(), Cells: []v1alpha1.Cell{{CPUs: "0-3", Memory: 8 * gib}}}
}

func TestJudge(t *testing.T) {
	four := capacity.Resources{CPU: 4, Memory: 8 * gib}
	type verdict struct{ Reason, Message string }
	for name, test := range map[string]struct {
		status v1alpha1.HypervisorStatus
		node   capacity.Resources
		want   verdict
	}{
		"both say the same": {described(four), four, verdict{"ReportsAgree", "the Hypervisor and its Node report the same"}},
		"the Node offers less": {described(four), capacity.Resources{CPU: 3, Memory: 8 * gib},
			verdict{"ReportsDiffer", "the smaller amounts are used: domus.dev/cpu is 4 and 3 on the Node: see whether something else writes the Node's domus.dev resources"}},
		"the Node offers more": {described(four), capacity.Resources{CPU: 4, Memory: 9 * gib},
			verdict{"ReportsDiffer", "the smaller amounts are used: domus.dev/memory is 8589934592 and 9663676416 on the Node: see whether something else writes the Node's domus.dev resources"}},
		"the cells have less": {described(capacity.Resources{CPU: 6, Memory: 8 * gib}), capacity.Resources{CPU: 6, Memory: 8 * gib},
			verdict{"ReportsDiffer", "the smaller amounts are used: domus.dev/cpu is 6 and the NUMA cells have 4: see whether something else writes the Node's domus.dev resources"}},
		"a CPU in two cells": {v1alpha1.HypervisorStatus{Allocatable: four.Host(), Cells: []v1alpha1.Cell{{CPUs: "0-3"}, {ID: 1, CPUs: "3"}}}, four,
			verdict{"ReportUnreadable", "the host is placed on by its totals alone, without NUMA cells: reading NUMA cell 1: CPU 3 is in cell 0 too; see the vm-executor's log and its configuration"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got verdict
			got.Reason, got.Message = judge(&test.status, test.node.List())
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAContradictionIsSaidUntilItIsMended(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	four := capacity.Resources{CPU: 4, Memory: 8 * gib}
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Status: described(four)}
	ready := metav1.Condition{Type: v1alpha1.HypervisorReady, Status: metav1.ConditionTrue, Reason: "LibvirtConnected"}
	hv.Status.Conditions = []metav1.Condition{ready}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	node.Status.Allocatable = four.List()
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(hv, node).WithObjects(hv, node).Build()
	controller := New(c, c, clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))

	look := func(offered capacity.Resources) (status metav1.ConditionStatus, version string) {
		t.Helper()
		key := types.NamespacedName{Name: "a"}
		if err := c.Get(t.Context(), key, node); err != nil {
			t.Fatal(err)
		}
		node.Status.Allocatable = offered.List()
		if err := c.Status().Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		if _, err := controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), key, hv); err != nil {
			t.Fatal(err)
		}
		if !meta.IsStatusConditionTrue(hv.Status.Conditions, v1alpha1.HypervisorReady) {
			t.Error("the executor's condition is gone")
		}
		if said := meta.FindStatusCondition(hv.Status.Conditions, v1alpha1.HypervisorConsistent); said != nil {
			status = said.Status
		}
		return status, hv.ResourceVersion
	}

	_, untouched := look(four)
	if status, version := look(four); status != "" || version != untouched {
		t.Errorf("a host that agrees has condition %q, or was written", status)
	}
	less := capacity.Resources{CPU: 4, Memory: gib}
	status, written := look(less)
	if status != metav1.ConditionFalse {
		t.Errorf("a Node with less memory: condition %q", status)
	}
	if _, again := look(less); again != written {
		t.Error("the same contradiction was written twice")
	}
	if status, _ := look(four); status != metav1.ConditionTrue {
		t.Errorf("once mended: condition %q", status)
	}
}
