package executor

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// A guest that QEMU cannot have go on has come to its end, whatever libvirt calls its
// state: what becomes of it is as after any other end by failure.
func TestAGuestThatCannotGoOnHasEnded(t *testing.T) {
	for _, policy := range vmtest.Policies {
		t.Run(string(policy), func(t *testing.T) {
			s := newStage(t, vmtest.Bound(vmtest.PolicyIs(policy)))
			s.settles()
			s.told()
			s.host.done = nil
			s.standsStill()
			s.host.dead = true
			s.settles()
			again := policy == v1alpha1.RunAlways || policy == v1alpha1.RunOnFailure
			want, events := "Ended GuestFailed", []string{"GuestFailed"}
			if again {
				want, events = "Failed GuestEnded", []string{"GuestEnded"}
			}
			s.is(want, "resume", "destroy")
			if why := s.said().Message; !strings.Contains(why, "QEMU could not have the guest go on, which was switched off (Resetting the Virtual Machine is required)") {
				t.Errorf("it does not say why: %s", why)
			}
			if diff := cmp.Diff(events, s.told()); diff != "" {
				t.Errorf("events: %s", diff)
			}
			if !again {
				return
			}
			s.host.dead = false
			s.clock.Step(time.Minute)
			s.settles()
			s.is("Running", "define", "start")
			// It is a guest like others from then on.
			s.standsStill()
			s.settles()
			s.is("Running", "resume")
		})
	}
}

// One that somebody resets goes on.
func TestAGuestThatIsResetGoesOn(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.settles()
	s.edit(vmtest.Shall(v1alpha1.PowerPaused))
	s.settles()
	s.host.done, s.host.dead = nil, true
	s.settles()
	s.is("Paused") // it is not known, and nobody wants it to go on
	s.host.dead = false
	s.edit(vmtest.Shall(v1alpha1.PowerRunning))
	s.settles()
	s.is("Running", "resume")
}

// standsStill has the guest be paused, and libvirt not know why.
func (s *stage) standsStill() {
	s.t.Helper()
	if err := s.host.set(vmtest.UID, libvirt.StatePaused, libvirt.ReasonUnknown); err != nil {
		s.t.Fatal(err)
	}
}
