package executor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// settles gives turns, as often as they are asked for, until nothing changes.
func (s *stage) settles() {
	s.t.Helper()
	for range 20 {
		done, writes := len(s.host.done), len(s.writes)
		s.mustTurn()
		if len(s.host.done) == done && len(s.writes) == writes {
			return
		}
	}
	s.t.Fatalf("it does not settle: %v", s.host.done)
}

// is holds what the host says, and what was done on the host since the last time.
func (s *stage) is(want string, done ...string) {
	s.t.Helper()
	h := s.said()
	if got := strings.TrimSpace(string(h.State) + " " + h.Reason); got != want {
		s.t.Errorf("the host says %s, want %s: %s", got, want, h.Message)
	}
	if diff := cmp.Diff(strings.Join(done, " "), strings.Join(s.host.done, " ")); diff != "" {
		s.t.Errorf("on the host: %s", diff)
	}
	s.host.done = nil
}

func TestAVMGoesThroughAllPowerStates(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	step := func(state v1alpha1.PowerState, want string, phase v1alpha1.Phase, done ...string) {
		t.Helper()
		s.edit(vmtest.Shall(state))
		s.settles()
		s.is(want, done...)
		if got := s.vm().Status.Phase; got != phase {
			t.Errorf("phase %s, want %s", got, phase)
		}
	}
	step(v1alpha1.PowerRunning, "Running", v1alpha1.PhaseRunning, "define", "start")
	started := s.said().StartedAt
	s.clock.Step(time.Hour)
	step(v1alpha1.PowerPaused, "Paused", v1alpha1.PhasePaused, "suspend")
	step(v1alpha1.PowerRunning, "Running", v1alpha1.PhaseRunning, "resume")
	step(v1alpha1.PowerSuspended, "Suspended", v1alpha1.PhaseSuspended, "save")
	step(v1alpha1.PowerPaused, "Suspended", v1alpha1.PhaseSuspended)
	// An edit while it is suspended takes effect at the next start, not now.
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Generation = 8 })
	step(v1alpha1.PowerRunning, "Running", v1alpha1.PhaseRunning, "start")
	if got := s.said().StartedAt; !got.Equal(started) {
		t.Errorf("started at %s, want %s: it went on", got, started)
	}
	if got := s.vm().Status.ObservedGeneration; got != 7 {
		t.Errorf("observed generation %d, want the one it was defined with", got)
	}
	step(v1alpha1.PowerPaused, "Paused", v1alpha1.PhasePaused, "suspend")
	step(v1alpha1.PowerSuspended, "Suspended", v1alpha1.PhaseSuspended, "save")
	step(v1alpha1.PowerStopped, "Stopped", v1alpha1.PhaseStopped, "discard")
	step(v1alpha1.PowerSuspended, "Stopped", v1alpha1.PhaseStopped)
	step(v1alpha1.PowerRunning, "Running", v1alpha1.PhaseRunning, "define", "start")
	if got := s.vm().Status.ObservedGeneration; got != 8 {
		t.Errorf("observed generation %d after the restart", got)
	}
	want := []string{
		"Started", "Paused", "Resumed", "Suspended", "Resumed", "Paused", "Suspended", "SavedMemoryDiscarded", "Stopped", "Started",
	}
	if diff := cmp.Diff(want, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
	s.edit(vmtest.Releases)
	s.edit(vmtest.Switched)
	s.settles()
	s.is("Gone Released", "shutdown", "undefine")
	if vm := s.vm(); vm.Status.Placement == nil {
		t.Error("the placement is the scheduler's to clear")
	}
}

func TestSavedMemoryThatIsLostIsNotLostSilently(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.settles()
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.settles()
	s.told()
	s.host.done = nil
	d := s.host.domains[vmtest.UID]
	d.Saved = false
	s.host.domains[vmtest.UID] = d
	s.restart()
	s.settles()
	s.settles()
	s.is("Stopped")
	want := "the guest's saved memory is gone from the host; there is no guest whose memory could be saved: set spec.powerState to Running to start it"
	if diff := cmp.Diff(want, s.said().Message); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Stopped"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
	s.edit(vmtest.Shall(v1alpha1.PowerRunning))
	s.settles()
	s.is("Running", "define", "start")
}

// A start that is announced and then not made leaves a VM to be started.
func TestAnAnnouncedStartIsMadeWhenWhatWasInItsWayIsGone(t *testing.T) {
	s := newStage(t, vmtest.Bound(vmtest.PolicyIs(v1alpha1.RunManual)))
	s.host.startErr = libvirt.ErrTimeout
	if err := s.turn(); !errors.Is(err, libvirt.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	s.is("Stopped Starting", "define", "start")
	if got := s.vm().Status.Phase; got != v1alpha1.PhaseScheduled {
		t.Errorf("phase %s", got)
	}
	s.host.startErr = nil
	s.settles()
	s.is("Running", "define", "start")
}

func TestASuspendedVMKeepsItsPlace(t *testing.T) {
	other := vmtest.Bound(func(vm *v1alpha1.VirtualMachine) {
		vm.Name, vm.UID = "other", otherUID
		vm.Status.Placement.Granted.CPU = 4
	})
	s := newStage(t, vmtest.Bound(), other)
	s.settles()
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.settles()
	s.restart()
	s.turnOf(other)
	if h := s.saidOf(other); h.State != v1alpha1.HostRejected || h.Message != "the host is full: need 4 vCPUs, 3 free" {
		t.Errorf("got %+v", h)
	}
}

func TestASuspendedVMIsRemovedWithItsMemory(t *testing.T) {
	for name, end := range map[string]func(*stage){
		"deleted": func(s *stage) {
			if err := s.api.Delete(context.Background(), s.vm()); err != nil {
				s.t.Fatal(err)
			}
		},
		"evicted": func(s *stage) { s.edit(vmtest.Evicted) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, vmtest.Bound(vmtest.Shall(v1alpha1.PowerRunning)))
			s.settles()
			s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
			s.settles()
			s.host.done = nil
			end(s)
			s.mustTurn()
			s.mustTurn()
			if diff := cmp.Diff([]string{"undefine"}, s.host.done); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASaveThatNeverEndsIsGivenUpAndTheGuestGoesOn(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.agent.saveGlance = 10 * time.Millisecond
	s.settles()
	s.host.done, s.host.hangs = nil, true
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.mustTurn()
	s.is("Paused Saving", "save")
	s.clock.Step(plan.SaveTime(s.vm()) - time.Second)
	s.mustTurn()
	s.is("Paused Saving")

	// A new executor, which does not know of it, gives it the time once more.
	s.restart()
	s.agent.saveGlance = 10 * time.Millisecond
	s.mustTurn()
	s.clock.Step(plan.SaveTime(s.vm()))
	s.host.abortErr = errors.New("the monitor is busy")
	s.mustTurn()
	s.is("Paused Saving", "abort")
	if m := s.said().Message; !strings.Contains(m, "the monitor is busy") || !strings.Contains(m, "Stopped") {
		t.Errorf("it says %q", m)
	}
	s.mustTurn()
	s.is("Paused Saving") // not at every look
	s.host.abortErr = nil
	s.clock.Step(plan.AskAgain)
	s.host.hangs = false
	s.host.saveErr = errors.New("no space left on device")
	s.mustTurn()
	s.is("Running SuspendFailed", "abort", "save")
	if m := s.said().Message; m != "saving the guest's memory failed and is tried again: no space left on device; set spec.powerState back to have it given up" {
		t.Errorf("it says %q", m)
	}
	for _, want := range []time.Duration{5 * time.Second, 10 * time.Second} {
		s.mustTurn()
		s.is("Running SuspendFailed") // too early
		s.clock.Step(want)
		s.mustTurn()
		s.is("Running SuspendFailed", "save")
	}
	s.host.saveErr = nil
	s.clock.Step(time.Minute)
	s.settles()
	s.is("Suspended", "save")
}

func TestASaveOfThisProcessThatTakesTooLongIsReported(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.agent.saveGlance = 10 * time.Millisecond
	s.settles()
	s.host.hangs = true
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.mustTurn()
	s.clock.Step(plan.SaveTime(s.vm()))
	s.host.done = nil
	s.mustTurn()
	s.is("Running SuspendFailed", "abort")
	if m := s.said().Message; m != "saving the guest's memory failed and is tried again: it took longer than 2m16s and was given up; set spec.powerState back to have it given up" {
		t.Errorf("it says %q", m)
	}
}

func TestAHangingSaveDelaysNoOtherVMAndEndsWithItsOwn(t *testing.T) {
	other := vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Name, vm.UID = "other", otherUID })
	s := newStage(t, vmtest.Bound(), other)
	s.agent.saveGlance = 10 * time.Millisecond
	s.settles()
	s.host.hangs = true
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.mustTurn()
	s.turnOf(other)
	if h := s.saidOf(other); h.State != v1alpha1.HostRunning {
		t.Errorf("got %+v", h)
	}
	// Wanted again, the guest goes on; that is no failure.
	s.host.done = nil
	s.edit(vmtest.Shall(v1alpha1.PowerRunning))
	s.settles()
	s.is("Running", "abort")
	// And it can be got rid of in the midst of a save that cannot be ended.
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.mustTurn()
	s.is("Paused Saving", "save")
	s.host.abortErr = errors.New("the monitor is busy")
	s.edit(vmtest.Switched)
	s.edit(vmtest.NoGrace)
	s.settles()
	s.is("Stopped", "destroy")
}

func TestSavedMemoryThatCannotBeUsedIsKept(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.settles()
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.settles()
	s.told()
	s.host.done, s.host.restoreErr = nil, errors.New("load of migration failed")
	s.edit(vmtest.Shall(v1alpha1.PowerRunning))
	for range plan.MaxStarts + 3 {
		s.mustTurn()
		s.is("Failed RestoreFailed", "start")
		if !s.host.domains[vmtest.UID].Saved {
			t.Fatal("the memory is gone")
		}
		s.clock.Step(plan.LastBackoff)
	}
	if m := s.said().Message; !strings.Contains(m, "load of migration failed") || !strings.Contains(m, "spec.powerState to Stopped") {
		t.Errorf("it says %q", m)
	}
	// The remedy.
	s.edit(vmtest.Switched)
	s.settles()
	s.is("Stopped", "discard")
	s.edit(vmtest.Shall(v1alpha1.PowerRunning))
	s.settles()
	s.is("Running", "define", "start")
}

func TestAGuestWhoseDiskIsFullGoesOnWhenThereIsRoom(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.settles()
	s.told()
	full := func() { _ = s.host.set(vmtest.UID, libvirt.StatePaused, libvirt.ReasonDiskError) }
	full()
	s.host.done = nil
	for _, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
		s.mustTurn()
		s.is("Paused DiskFull", "resume")
		s.mustTurn() // it runs for an instant, which nobody is told
		s.is("Paused DiskFull")
		full()
		s.mustTurn()
		s.is("Paused DiskFull")
		s.clock.Step(want)
	}
	s.mustTurn()
	s.clock.Step(plan.Settle)
	s.settles()
	s.is("Running", "resume")
	if diff := cmp.Diff([]string{"DiskFull"}, s.told()); diff != "" {
		t.Errorf("events: %s", diff)
	}
}

func TestAGuestThatCannotBePausedOrResumedIsTriedAgain(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.settles()
	s.host.done, s.host.stuck = nil, true
	s.edit(vmtest.Shall(v1alpha1.PowerPaused))
	s.mustTurn()
	s.is("Running PauseFailed", "suspend")
	const hangs = " failed and is tried again: libvirt did not answer in time; `virtctl stop --force -n default guest` ends a guest that hangs"
	if m := s.said().Message; m != "pausing the guest"+hangs {
		t.Errorf("it says %q", m)
	}
	s.mustTurn()
	s.is("Running PauseFailed")
	s.clock.Step(5 * time.Second)
	s.host.stuck = false
	s.settles()
	s.is("Paused", "suspend")
	s.host.stuck = true
	s.edit(vmtest.Shall(v1alpha1.PowerRunning))
	s.mustTurn()
	s.is("Paused ResumeFailed", "resume")
	if m := s.said().Message; m != "resuming the guest"+hangs {
		t.Errorf("it says %q", m)
	}
	s.clock.Step(5 * time.Second)
	s.host.stuck = false
	s.settles()
	s.is("Running", "resume")
}

// A VM that runs once is started once, whenever the executor is killed, and also
// when the host loses power with it: libvirt then does not know that there was a
// guest.
func TestARunOnceVMIsNeverStartedTwice(t *testing.T) {
	for _, reason := range []string{libvirt.ReasonShutDown, libvirt.ReasonNotStarted} {
		for nth := 1; nth < 12; nth++ {
			for _, after := range []bool{false, true} {
				runOnceThrough(t, reason, nth, after)
			}
		}
	}
}

// runOnceThrough kills the executor at the nth change, and ends the guest, which
// nobody sees, with libvirt's reason.
func runOnceThrough(t *testing.T, reason string, nth int, after bool) {
	t.Helper()
	s := newStage(t, vmtest.Bound(vmtest.PolicyIs(v1alpha1.RunOnce)))
	n := 0
	hook := func(string) (error, error) {
		n++
		switch {
		case n != nth:
			return nil, nil
		case after:
			return nil, errCrash
		}
		return errCrash, nil
	}
	s.host.step, s.refuse = hook, hook
	for range 10 {
		err := s.turn()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if s.host.domains[vmtest.UID].State.Active() {
			_ = s.host.set(vmtest.UID, libvirt.StateShutOff, reason)
		}
		if err != nil {
			s.restart()
		}
		s.clock.Step(time.Hour)
	}
	if starts := strings.Count(strings.Join(s.host.done, " "), "start"); starts > 1 {
		t.Errorf("crash %d (after: %v), then %s: it was started %d times", nth, after, reason, starts)
	}
	if h := s.said(); h == nil || h.State != v1alpha1.HostEnded {
		t.Errorf("crash %d (after: %v), then %s: %+v", nth, after, reason, h)
	}
}

func TestHowAGuestEndedSurvivesTheExecutorAndLibvirtd(t *testing.T) {
	for name, c := range map[string]struct {
		policy v1alpha1.RunPolicy
		reason string
		want   string
	}{
		"shut down, on failure": {v1alpha1.RunOnFailure, libvirt.ReasonShutDown, "Ended GuestShutDown"},
		"shut down, manual":     {v1alpha1.RunManual, libvirt.ReasonShutDown, "Ended GuestShutDown"},
		"crashed, manual":       {v1alpha1.RunManual, libvirt.ReasonCrashed, "Ended GuestFailed"},
		"crashed, once":         {v1alpha1.RunOnce, libvirt.ReasonCrashed, "Ended GuestFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, vmtest.Bound(vmtest.PolicyIs(c.policy)))
			s.settles()
			_ = s.host.set(vmtest.UID, libvirt.StateShutOff, c.reason)
			s.restart()
			s.settles()
			s.is(c.want, "define", "start")
			message := s.said().Message
			// libvirtd forgets, and then the domain is removed.
			_ = s.host.set(vmtest.UID, libvirt.StateShutOff, libvirt.ReasonNotStarted)
			s.restart()
			s.settles()
			s.is(c.want)
			delete(s.host.domains, vmtest.UID)
			s.restart()
			s.settles()
			s.is(c.want)
			if got := s.said().Message; got != message {
				t.Errorf("it says %q, after %q", got, message)
			}
			// Started by hand it runs, but not a second time for what runs once.
			s.edit(vmtest.Switched)
			s.settles()
			s.is("Stopped")
			s.edit(vmtest.Shall(v1alpha1.PowerRunning))
			s.settles()
			if c.policy == v1alpha1.RunOnce {
				s.is("Ended RanOnce")
				return
			}
			s.is("Running", "define", "start")
		})
	}
}

func TestOneDomainStuckInASaveDelaysNoOther(t *testing.T) {
	other := vmtest.Bound(func(vm *v1alpha1.VirtualMachine) { vm.Name, vm.UID = "other", otherUID })
	s := newStage(t, vmtest.Bound(), other)
	s.host.events <- libvirt.Event{Kind: libvirt.EventConnected}
	agent := runOn(t, s, s.host)
	state := func(vm *v1alpha1.VirtualMachine) v1alpha1.HostState {
		if h := s.saidOf(vm); h != nil {
			return h.State
		}
		return ""
	}
	eventually(t, "both run", func() bool {
		return state(vmtest.Bound()) == v1alpha1.HostRunning && state(other) == v1alpha1.HostRunning
	})
	s.host.mu.Lock()
	s.host.hangs = true
	s.host.mu.Unlock()
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	agent.Enqueue(guestKey)
	eventually(t, "one is being saved", func() bool { return state(vmtest.Bound()) == v1alpha1.HostPaused })
	live := &v1alpha1.VirtualMachine{}
	if err := s.api.Get(context.Background(), client.ObjectKeyFromObject(other), live); err != nil {
		t.Fatal(err)
	}
	vmtest.Shall(v1alpha1.PowerPaused)(live)
	if err := s.api.Update(context.Background(), live); err != nil {
		t.Fatal(err)
	}
	agent.Enqueue(client.ObjectKeyFromObject(other))
	eventually(t, "the other is paused", func() bool { return state(other) == v1alpha1.HostPaused })
	close(s.host.events)
}
