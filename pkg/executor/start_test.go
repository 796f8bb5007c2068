package executor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

func TestAGuestThatDoesNotStartIsTriedAgainAndThenGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*fakeHost)
		reject  string
	}{
		"it cannot be defined": {
			prepare: func(h *fakeHost) { h.defineErr = errors.New("internal error") },
			reject:  "it could not be defined in 5 attempts: internal error",
		},
		"it cannot be started": {
			prepare: func(h *fakeHost) { h.startErr = errors.New("internal error") },
			reject:  "it did not start in 5 attempts: internal error",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, vmtest.Bound())
			c.prepare(s.host)
			var waits []time.Duration
			for range plan.MaxStarts - 1 {
				after, err := s.agent.turn(context.Background(), guestKey)
				if err != nil {
					t.Fatal(err)
				}
				if h := s.said(); h.State != v1alpha1.HostFailed || h.Reason != v1alpha1.ReasonStartFailed || h.Message != "internal error" {
					t.Fatalf("got %+v", h)
				}
				waits = append(waits, after)
				s.mustTurn() // too early: nothing happens
				s.clock.Step(after)
			}
			s.mustTurn()
			if diff := cmp.Diff([]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second}, waits); diff != "" {
				t.Errorf("waits: %s", diff)
			}
			if h := s.said(); h.State != v1alpha1.HostRejected || h.Reason != v1alpha1.ReasonHostUnfit || h.Message != c.reject {
				t.Errorf("got %+v", h)
			}
			if len(s.host.domains) != 0 {
				t.Errorf("left on the host: %v", s.host.domains)
			}
		})
	}
}

func TestALibvirtThatDoesNotAnswerADefineSaysNothingOfTheGuest(t *testing.T) {
	for _, err := range []error{libvirt.ErrUnavailable, libvirt.ErrTimeout} {
		s := newStage(t, vmtest.Bound())
		s.host.defineErr = err
		if got := s.turn(); !errors.Is(got, err) {
			t.Errorf("got %v", got)
		}
		if h := s.said(); h != nil {
			t.Errorf("it said %+v", h)
		}
	}
}

func TestADomainThatWasChangedBehindOurBackIsDefinedAnewBeforeItStarts(t *testing.T) {
	s := newStage(t, vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.Granted.PageSize = v1alpha1.PageSize2Mi }))
	s.hugepages(libvirt.Pages{Size2Mi: 512})
	s.restart()
	s.mustTurn()
	defined := s.host.domains[vmtest.UID]
	s.edit(vmtest.Switched)
	s.mustTurn()
	s.mustTurn()
	changed := s.host.domains[vmtest.UID]
	changed.CPU, changed.Memory = 64, 64<<30
	s.host.domains[vmtest.UID] = changed
	// Neither the host's pages nor what is left of it are asked for twice.
	s.hugepages(libvirt.Pages{})
	s.restart()
	s.host.done = nil
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerRunning })
	s.mustTurn()
	if diff := cmp.Diff([]string{"define", "start"}, s.host.done); diff != "" {
		t.Errorf("on the host: %s", diff)
	}
	defined.ID++ // the next guest
	if diff := cmp.Diff(defined, s.host.domains[vmtest.UID]); diff != "" {
		t.Errorf("the domain: %s", diff)
	}
	if h := s.said(); h.State != v1alpha1.HostRunning {
		t.Errorf("got %+v", h)
	}
}
