package executor

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
)

func TestOthersFinalizersAreKept(t *testing.T) {
	theirs := []string{"example.com/a", "example.com/b"}
	s := newStage(t, vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = theirs }))
	s.mustTurn()
	if diff := cmp.Diff(append(theirs, v1alpha1.DomainFinalizer), s.vm().Finalizers); diff != "" {
		t.Error(diff)
	}
	s.edit(func(vm *v1alpha1.VirtualMachine) {
		vm.Finalizers = []string{"example.com/a", v1alpha1.DomainFinalizer, "example.com/b"}
	})
	if err := s.api.Delete(context.Background(), s.vm()); err != nil {
		t.Fatal(err)
	}
	s.mustTurn()
	s.mustTurn()
	if diff := cmp.Diff(theirs, s.vm().Finalizers); diff != "" {
		t.Error(diff)
	}
}

func TestTheFinalizerIsNotStoredForABindingThatHasEnded(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.VirtualMachine){
		"a later epoch":     vmtest.Epoch(4),
		"a recreated VM":    func(vm *v1alpha1.VirtualMachine) { vm.UID = "other" },
		"a finalizer since": func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = []string{"example.com/a"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, vmtest.Bound(change))
			seen := vmtest.Bound()
			seen.ResourceVersion = "1"
			patch, err := addFinalizer(seen)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := patchVM(context.Background(), s.api, seen, patch); err == nil {
				t.Error("it was stored")
			}
			for _, f := range s.vm().Finalizers {
				if f == v1alpha1.DomainFinalizer {
					t.Error("it is there")
				}
			}
		})
	}
}
