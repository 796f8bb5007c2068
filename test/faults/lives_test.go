package faults

import (
	"context"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// States of VMs whose guests stand still, are saved, or are not started again
// after every end.
var (
	isPaused    = state{name: "paused", shared: true, reach: runThen(v1alpha1.PowerPaused, paused)}
	isSuspended = state{name: "suspended", shared: true, reach: runThen(v1alpha1.PowerSuspended, suspended)}
	// The next three run.
	isManual    = state{name: "running, Manual", shared: true, create: under(v1alpha1.RunManual), reach: runUnder(v1alpha1.RunManual)}
	isOnFailure = state{name: "running, OnFailure", shared: true, create: under(v1alpha1.RunOnFailure), reach: runUnder(v1alpha1.RunOnFailure)}
	isOnce      = state{name: "running, Once", shared: true, create: under(v1alpha1.RunOnce), reach: runUnder(v1alpha1.RunOnce)}
	// isStartingOnce was just created.
	isStartingOnce = state{name: "starting, Once", then: func(t *testing.T, s *subject) {
		s.uuid = under(v1alpha1.RunOnce)(t, s.name).DomainUUID()
	}}
	// isPausing, isSuspending and isWaking have just been told so; the last was
	// saved.
	isPausing    = state{name: "pausing", reach: runAndRemember, then: power(v1alpha1.PowerPaused)}
	isSuspending = state{name: "suspending", reach: runAndRemember, then: power(v1alpha1.PowerSuspended)}
	isWaking     = state{name: "suspended, told to go on", reach: isSuspended.reach, then: power(v1alpha1.PowerRunning)}
	// isToldToPause and isToldToSuspend are told so while the fault lasts.
	isToldToPause   = state{name: "running, told to pause meanwhile", reach: runAndRemember, amid: power(v1alpha1.PowerPaused)}
	isToldToSuspend = state{name: "running, told to suspend meanwhile", reach: runAndRemember, amid: power(v1alpha1.PowerSuspended)}
	// isRestarting and isResetting have just been asked for by an operation.
	isRestarting = state{name: "Restart under way", reach: runAndRemember, then: ask4Restart}
	isResetting  = state{name: "Reset under way", reach: runAndRemember, then: ask4Reset}
	// The next were paused or saved, and have just been told to go on, or to be
	// switched off or deleted.
	isGoingOn          = state{name: "paused, told to go on", reach: isPaused.reach, then: power(v1alpha1.PowerRunning)}
	isDiscarding       = state{name: "suspended, told to stop", reach: isSuspended.reach, then: power(v1alpha1.PowerStopped)}
	isSuspendedDeleted = state{name: "suspended, being deleted", reach: isSuspended.reach, then: ask4Deletion}
	// isToldToWake is told to go on while the fault lasts.
	isToldToWake = state{name: "suspended, told to go on meanwhile", reach: isSuspended.reach, amid: power(v1alpha1.PowerRunning)}
)

// The expectations of them.
var (
	// staysPaused: it goes on as the same guest when it is told to.
	staysPaused = expectation{
		says: "stays Paused; goes on when told to",
		after: func(before, after observation) string {
			return all(paused(after), sameBinding(before, after), want("boots on the console", after.boots, before.boots),
				want("QEMU's process", after.qemu, before.qemu))
		},
		amid:    standsStill.amid,
		finally: goesOn,
	}
	// suspends: it comes to be saved, whatever it does while the fault lasts.
	suspends = expectation{
		says: "is Suspended; goes on when told to",
		after: func(before, after observation) string {
			return all(suspended(after), sameBinding(before, after), want("boots on the console", after.boots, before.boots))
		},
		finally: goesOn,
	}
	// staysSuspended: it is not restored before it is told to.
	staysSuspended = expectation{
		says:    "stays Suspended; goes on when told to",
		after:   suspends.after,
		amid:    staysOff.amid,
		finally: goesOn,
	}
	// wakes: it runs on from what was saved.
	wakes = expectation{
		says: "goes on from what was saved",
		after: func(before, after observation) string {
			return all(running(after), sameLife(before, after), sameBinding(before, after))
		},
	}
	// goesOnInPlace: it stood still, and goes on.
	goesOnInPlace = expectation{
		says: "goes on",
		after: func(before, after observation) string {
			return all(running(after), sameGuest(before, after), sameBinding(before, after))
		},
	}
	// isNotStarted: the guest is lost, and since it shall not run none is started.
	isNotStarted = expectation{
		says: "Stopped, not started",
		after: func(before, after observation) string {
			return all(off(after), sameBinding(before, after), want("boots on the console", after.boots, before.boots))
		},
	}
	// isLeftOff: the guest is lost, and is not started again.
	isLeftOff = expectation{
		says: "Ended, GuestFailed",
		after: func(before, after observation) string {
			return all(ended(after), want("reason", reason(after), v1alpha1.ReasonGuestFailed), sameBinding(before, after),
				want("boots on the console", after.boots, before.boots))
		},
	}
	// isNotRisked: whether it ran is not known, so it is not started.
	isNotRisked = expectation{
		says: "Ended, never ran",
		after: func(_, after observation) string {
			return all(ended(after), want("boots on the console", after.boots, 0))
		},
	}
	// restartsOnce: the operation is taken up again, and its guest booted once.
	restartsOnce = expectation{
		says: "boots once more; Succeeded",
		after: func(before, after observation) string {
			return all(bootsAgain.after(before, after), operated(after, v1alpha1.OperationSucceeded, ""))
		},
	}
	// isNotReset and isReset: the operation fails, and what it says is not known
	// can be seen here.
	isNotReset = expectation{
		says: "runs on; Failed, Interrupted",
		after: func(before, after observation) string {
			return all(runsOn.after(before, after), operated(after, v1alpha1.OperationFailed, v1alpha1.ReasonInterrupted))
		},
	}
	isReset = expectation{
		says: "boots once more in its QEMU; Failed, Interrupted",
		after: func(before, after observation) string {
			return all(bootsAgain.after(before, after), want("QEMU's process", after.qemu, before.qemu),
				operated(after, v1alpha1.OperationFailed, v1alpha1.ReasonInterrupted))
		},
	}
)

func paused(o observation) string {
	wrong := all(want("phase", o.phase(), v1alpha1.PhasePaused), want("quarantined for", o.quarantined, ""))
	if o.qemu.pid == 0 {
		wrong = all(wrong, "no QEMU has it")
	}
	return wrong
}

func suspended(o observation) string {
	return all(want("phase", o.phase(), v1alpha1.PhaseSuspended), want("QEMU's process", o.qemu.pid, 0), want("quarantined for", o.quarantined, ""))
}

func ended(o observation) string {
	return all(want("phase", o.phase(), v1alpha1.PhaseEnded), want("QEMU's process", o.qemu.pid, 0), want("quarantined for", o.quarantined, ""))
}

func reason(o observation) string {
	if o.vm == nil || o.vm.Status.Host == nil {
		return ""
	}
	return o.vm.Status.Host.Reason
}

// sameLife is sameGuest of one that may have got another QEMU.
func sameLife(before, after observation) string {
	after.qemu = before.qemu
	return sameGuest(before, after)
}

// goesOn tells a guest that stands still or is saved to run, and says how it is
// not the one that it was.
func goesOn(ctx context.Context, s *subject, before observation) (after observation, wrong string) {
	wrong = await(settleTime, func() string {
		if err := setPower(ctx, s.name, v1alpha1.PowerRunning); err != nil {
			return err.Error()
		}
		var err error
		if after, err = s.observe(ctx); err != nil {
			return err.Error()
		}
		if why := running(after); why != "" {
			return why
		}
		if err := after.hear(bootTime); err != nil {
			return err.Error()
		}
		return sameLife(before, after)
	})
	return after, wrong
}

// runAndRemember brings the VM to run and keeps what its guest says: later it
// may not be able to.
func runAndRemember(t *testing.T, name string) *subject {
	t.Helper()
	s := runIt(t, name)
	w, err := ask(s.process().pid, bootTime)
	must(t, err)
	s.said = &w
	return s
}

func runThen(want v1alpha1.PowerState, is func(observation) string) func(t *testing.T, name string) *subject {
	return func(t *testing.T, name string) *subject {
		t.Helper()
		s := runAndRemember(t, name)
		power(want)(t, s)
		reaches(t, s, is)
		return s
	}
}

// under makes a VM with the policy.
func under(policy v1alpha1.RunPolicy) func(t *testing.T, name string) *v1alpha1.VirtualMachine {
	return func(t *testing.T, name string) *v1alpha1.VirtualMachine {
		t.Helper()
		vm, err := newVM(name, "real", tiny)
		must(t, err)
		vm.Spec.RunPolicy = policy
		must(t, env.Create(t.Context(), vm))
		return vm
	}
}

// runUnder brings a VM with the policy to run; one that has ended is made anew.
func runUnder(policy v1alpha1.RunPolicy) func(t *testing.T, name string) *subject {
	return func(t *testing.T, name string) *subject {
		t.Helper()
		vm, err := get(t.Context(), name)
		must(t, err)
		if vm != nil && vm.Status.Phase == v1alpha1.PhaseEnded {
			remove(t, name)
			under(policy)(t, name)
		}
		return runIt(t, name)
	}
}
