package faults

import (
	"context"
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// States of VMs whose guests have ended by themselves, or that are off and give
// their places back; and what was done to VMs since a copy of etcd.
var (
	// isEnded powered itself off, and its policy leaves it so.
	isEnded = state{name: "ended", shared: true, create: under(v1alpha1.RunManual), reach: powerOff}
	// isReleasing has just been told to stop and to give its place back, and
	// isToldToRelease is while the fault lasts.
	isReleasing     = state{name: "giving its place back", reach: runAndRemember, then: release}
	isToldToRelease = state{name: "running, told to give its place back meanwhile", reach: runAndRemember, amid: release}

	isPausedSince = state{name: "paused since the copy", reach: runAndRemember, then: func(t *testing.T, s *subject) {
		power(v1alpha1.PowerPaused)(t, s)
		reaches(t, s, paused)
	}}
	isSuspendedSince = state{name: "suspended since the copy", reach: runAndRemember, then: func(t *testing.T, s *subject) {
		power(v1alpha1.PowerSuspended)(t, s)
		reaches(t, s, suspended)
	}}
	isWokenSince = state{name: "told to go on since the copy, suspended in it", reach: isSuspended.reach, then: func(t *testing.T, s *subject) {
		power(v1alpha1.PowerRunning)(t, s)
		reaches(t, s, running)
		hears(t, s)
	}}
	isEndedSince = state{name: "ended since the copy", create: under(v1alpha1.RunManual), reach: runAndRemember, then: func(t *testing.T, s *subject) {
		powerOff(t, s.name)
	}}
	isReleasedSince = state{name: "gave its place back since the copy", reach: runAndRemember, then: func(t *testing.T, s *subject) {
		release(t, s)
		reaches(t, s, released)
	}}

	// isWithoutGrace and the next are switched off at once, without a word.
	isWithoutGrace        = state{name: "being switched off without grace", reach: runAndRemember, then: tell(`{"powerState":"Stopped","terminationGracePeriodSeconds":0}`)}
	isDeletedWithoutGrace = state{name: "being deleted without grace", reach: runAndRemember, then: func(t *testing.T, s *subject) {
		tell(`{"terminationGracePeriodSeconds":0}`)(t, s)
		ask4Deletion(t, s)
	}}
)

// The expectations of them.
var (
	// staysEnded: it is not started again, and what is said of its end stays.
	staysEnded = expectation{
		says: "stays Ended, GuestShutDown",
		after: func(before, after observation) string {
			return all(ended(after), want("reason", reason(after), v1alpha1.ReasonGuestShutDown), sameBinding(before, after),
				want("boots on the console", after.boots, before.boots))
		},
		amid: staysOff.amid,
	}
	// givesBack: it is off, nothing of it is left on the host, and it is placed and
	// started anew when it is told to.
	givesBack = expectation{
		says: "Stopped, Released; boots when told to",
		after: func(before, after observation) string {
			return all(released(after), want("boots on the console", after.boots, before.boots))
		},
		finally: bootsWhenTold,
	}
	// isPlacedAgain: the place it gave back is its own, and it boots there.
	isPlacedAgain = expectation{
		says: "boots again",
		after: func(before, after observation) string {
			return all(running(after), want("boots on the console", after.boots, before.boots+1))
		},
	}
	// isLost: its guest and its memory are, and it shall not run before it is told
	// to.
	isLost = expectation{
		says:    "Stopped, not started; boots when told to",
		after:   isNotStarted.after,
		finally: bootsWhenTold,
	}
	// keepsLife: it runs, in the life that it was in; what is said of since when may
	// be older than it.
	keepsLife = expectation{
		says: "runs on",
		after: func(before, after observation) string {
			return all(running(after), sameGuest(before, after), sameBinding(before, after))
		},
	}
)

// release tells a VM to stop and to give its place back.
var release = tell(`{"powerState":"Stopped","whenStopped":"Release"}`)

func released(o observation) string {
	wrong := all(off(o), want("libvirt has it", o.domain, false))
	if o.vm != nil && o.vm.Status.Placement != nil {
		wrong = all(wrong, "it still has a place on "+o.vm.Status.Placement.NodeName)
	}
	return wrong
}

// powerOff has the guest power itself off, unless it has.
func powerOff(t *testing.T, name string) *subject {
	t.Helper()
	vm, err := get(t.Context(), name)
	must(t, err)
	s := &subject{name: name, uuid: vm.DomainUUID()}
	if vm.Status.Phase != v1alpha1.PhaseEnded {
		s = runIt(t, name)
		must(t, converse(s.process().pid, "poweroff -f\n", bootTime, func(said string) bool { return strings.Contains(said, "poweroff") }))
		reaches(t, s, ended)
	}
	return s
}

// bootsWhenTold tells a VM that is off to run, and says how it does not.
func bootsWhenTold(ctx context.Context, s *subject, before observation) (after observation, wrong string) {
	wrong = await(settleTime, func() string {
		if err := setPower(ctx, s.name, v1alpha1.PowerRunning); err != nil {
			return err.Error()
		}
		var err error
		if after, err = s.observe(ctx); err != nil {
			return err.Error()
		}
		if why := all(running(after), want("boots on the console", after.boots, before.boots+1)); why != "" {
			return why
		}
		if err := after.hear(bootTime); err != nil {
			return err.Error()
		}
		return ""
	})
	return after, wrong
}
