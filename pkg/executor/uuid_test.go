package executor

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
)

func TestAVMThatClaimsAnothersUUIDHarmsNobody(t *testing.T) {
	thief := vmtest.Bound(func(vm *v1alpha1.VirtualMachine) {
		vm.Namespace, vm.UID, vm.Spec.UUID = "other", "33333333-3333-4333-8333-333333333333", vmtest.UID
	})
	s := newStage(t, vmtest.Bound(), thief)
	s.mustTurn()
	before, _ := s.agent.registry.account()
	for range 2 {
		if _, err := s.agent.turn(context.Background(), client.ObjectKeyFromObject(thief)); err != nil {
			t.Fatal(err)
		}
		s.mustTurn()
	}
	if diff := cmp.Diff([]string{"define", "start"}, s.host.done); diff != "" {
		t.Errorf("on the host: %s", diff)
	}
	after, _ := s.agent.registry.account()
	if len(after.status.Quarantined) != 0 || after.allocatable != before.allocatable {
		t.Errorf("the account is %+v", after)
	}
	vm := &v1alpha1.VirtualMachine{}
	if err := s.api.Get(context.Background(), client.ObjectKeyFromObject(thief), vm); err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.HostStatus{
		Epoch: 3, State: v1alpha1.HostRejected, Reason: v1alpha1.ReasonHostUnfit,
		Message: "the host has another domain with this UUID: undefine that one if this VM was imported from it, or choose another spec.uuid",
	}
	if diff := cmp.Diff(want, vm.Status.Host); diff != "" {
		t.Error(diff)
	}
	// Nor does it lift the quarantine of a domain whose own VM is gone.
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = nil })
	if err := s.api.Delete(context.Background(), s.vm()); err != nil {
		t.Fatal(err)
	}
	s.mustTurn()
	if _, err := s.agent.turn(context.Background(), client.ObjectKeyFromObject(thief)); err != nil {
		t.Fatal(err)
	}
	if sum, _ := s.agent.registry.account(); len(sum.status.Quarantined) != 1 {
		t.Errorf("quarantined: %v", sum.status.Quarantined)
	}
}
