package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// A binding writes the status as a whole, and of the object nothing else: what
// a user has applied stays the user's.
func TestABindingLeavesTheSpecToItsOwner(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	apply := func(cpu int64) error {
		vm := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VirtualMachine",
			"metadata": map[string]any{"namespace": ns, "name": "vm", "labels": map[string]any{"tier": "web"}},
			"spec": map[string]any{
				"nodeSelector": map[string]any{"test": ns},
				"resources":    map[string]any{"cpu": cpu, "memory": "1Gi"},
				"domain":       map[string]any{"title": "mine"},
			},
		}}
		return suite.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(vm), client.FieldOwner("someone"))
	}
	if err := apply(1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(newVM(ns, "vm", 1, 1)) })
	vm := waitVM(t, ns, "vm", boundTo(host))
	if vm.Labels["tier"] != "web" || vm.Spec.Domain == nil || !strings.Contains(string(vm.Spec.Domain.Raw), "mine") {
		t.Errorf("labels %v, domain %v: the binding has changed what is not its own", vm.Labels, vm.Spec.Domain)
	}
	owned := map[string]string{}
	for _, f := range vm.ManagedFields {
		if f.Subresource == "" && f.Operation == metav1.ManagedFieldsOperationApply {
			owned[f.Manager] = f.FieldsV1.GetRawString()
		}
	}
	for _, field := range []string{"f:tier", "f:cpu", "f:memory", "f:nodeSelector", "f:domain"} {
		if !strings.Contains(owned["someone"], field) {
			t.Errorf("%s is not someone's any more: %v", field, owned)
		}
	}
	if err := apply(1); err != nil {
		t.Errorf("applying the same again: %v", err)
	}
}

// Someone who keeps editing labels makes the quick write a conflict each time;
// VMs are bound all the same, and no edit is lost.
func TestLabelsAreEditedWhileVMsAreBound(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	hosts(t, ns, 2, mid)
	const n = 12
	edited := make(chan error, n)
	for i := range n {
		vm := newVM(ns, fmt.Sprintf("vm-%d", i), 1, 1)
		create(t, vm)
		go func() {
			for round := range 20 {
				patch := fmt.Sprintf(`{"metadata":{"labels":{"round":"%d"}}}`, round)
				if err := suite.client.Patch(t.Context(), vm.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
					edited <- err
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
			edited <- nil
		}()
	}
	for range n {
		if err := <-edited; err != nil {
			t.Error(err)
		}
	}
	for i := range n {
		vm := waitVM(t, ns, fmt.Sprintf("vm-%d", i), func(vm *v1alpha1.VirtualMachine) string {
			if vm.Status.Placement == nil {
				return "is not bound"
			}
			return ""
		})
		if vm.Labels["round"] != "19" {
			t.Errorf("%s has label round=%s, want 19", vm.Name, vm.Labels["round"])
		}
	}
}

// A scheduler that starts lists VMs that wait already. What it keeps of them is
// what their domains take, as of those that it sees come.
func TestVMsFromBeforeTheSchedulerAreGrantedTheSame(t *testing.T) {
	first := startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	asked := newVM(ns, "vm", 2, 4, func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Domain = &runtime.RawExtension{Raw: []byte(`{"devices":{"graphics":[{"vnc":{}}],"videos":[{"model":{"type":"vga"}}]}}`)}
	})
	create(t, asked)
	first.kill()
	host := hosts(t, ns, 1, mid)[0]
	startScheduler(t, schedulerOptions{})
	vm := waitVM(t, ns, "vm", boundTo(host))
	if want := capacity.Desired(&asked.Spec); vm.Status.Placement.Granted != want {
		t.Errorf("granted %+v, want %+v", vm.Status.Placement.Granted, want)
	}
}
