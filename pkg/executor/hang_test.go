package executor

import (
	"errors"
	"testing"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
)

func TestAGuestThatHangsIsSwitchedOffAfterItsGrace(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.edit(vmtest.Switched)
	s.host.stuck = true
	s.host.destroyErr = errors.New("device or resource busy")
	s.mustTurn()
	if w := s.agent.work(guestKey); !w.memory.StopAskedAt.Equal(vmtest.Now) {
		t.Errorf("asked at %v", w.memory.StopAskedAt)
	}
	s.clock.Step(30 * time.Second)
	for range 2 {
		if err := s.turn(); !errors.Is(err, s.host.destroyErr) {
			t.Fatalf("got %v", err)
		}
	}
	want := "stopping the guest failed and is tried again: device or resource busy"
	if h := s.said(); h.State != v1alpha1.HostStopping || h.Message != want {
		t.Errorf("got %+v", h)
	}
	s.host.destroyErr = nil
	s.mustTurn()
	if h := s.said(); h.State != v1alpha1.HostStopped || h.Message != "" {
		t.Errorf("got %+v", h)
	}
}
