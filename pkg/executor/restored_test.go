package executor

import (
	"slices"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
)

// The API server's data is put back to where they were before our last write:
// what the watch has then is of an earlier version than what we wrote, for good.
func TestAVMOfARestoredAPIServerIsFollowed(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.edit(vmtest.Switched)
	s.mustTurn()
	s.mustTurn()
	if h := s.said(); h.State != v1alpha1.HostStopped {
		t.Fatalf("got %+v", h)
	}
	ours := s.vm()
	ours.ResourceVersion = "1000000"
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerRunning })
	s.agent.work(guestKey).keep(ours, s.clock.Now())
	starts := func() bool { return slices.Contains(s.host.done[2:], "start") }

	again, err := s.agent.turn(t.Context(), guestKey)
	if err != nil {
		t.Fatal(err)
	}
	if starts() {
		t.Fatal("the watch may be late, and was believed")
	}
	if again <= watchLag {
		t.Fatalf("it is looked at again after %s: nothing else may ask for that", again)
	}
	// A turn for another reason does not put it off.
	s.clock.Step(again / 2)
	s.mustTurn()
	s.clock.Step(again - again/2)
	s.mustTurn()
	if !starts() {
		t.Errorf("it is never started again: %v", s.host.done)
	}
}
