package libvirt_test

import (
	"errors"
	"testing"

	"domus.dev/domus/pkg/libvirt"
)

func TestAGuestIsPausedSavedAndResumedOnASimulatedHost(t *testing.T) {
	host, events, ctx := simulate(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(state libvirt.State, reason string, saved bool) {
		t.Helper()
		d, err := host.Domain(ctx, guestUUID)
		must(err)
		if d.State != state || d.Reason != reason || d.Saved != saved {
			t.Fatalf("it is %s (%s), saved %t; want %s (%s), saved %t", d.State, d.Reason, d.Saved, state, reason, saved)
		}
	}
	must(host.Define(ctx, guest))
	// There is nothing to pause, save, abort or discard.
	must(errors.Join(host.Suspend(ctx, guestUUID), host.Save(ctx, guestUUID), host.AbortJob(ctx, guestUUID), host.CheckSave(ctx, guestUUID), host.DiscardSave(ctx, guestUUID)))
	is(libvirt.StateShutOff, libvirt.ReasonNotStarted, false)
	if err := host.Resume(ctx, guestUUID); err == nil {
		t.Fatalf("resuming without a guest: %v", err)
	}

	must(host.Start(ctx, guestUUID))
	must(errors.Join(host.Suspend(ctx, guestUUID), host.Suspend(ctx, guestUUID)))
	next(ctx, t, events, libvirt.EventPaused)
	is(libvirt.StatePaused, libvirt.ReasonPausedByUser, false)
	must(errors.Join(host.Resume(ctx, guestUUID), host.Resume(ctx, guestUUID)))
	next(ctx, t, events, libvirt.EventResumed)
	is(libvirt.StateRunning, "", false)
	must(host.AbortJob(ctx, guestUUID)) // no job goes on

	must(host.Save(ctx, guestUUID))
	if e := next(ctx, t, events, libvirt.EventStopped); e.Reason != libvirt.ReasonSaved {
		t.Errorf("stopped for %q", e.Reason)
	}
	is(libvirt.StateShutOff, libvirt.ReasonSaved, true)
	all, err := host.Domains(ctx)
	must(err)
	if len(all) != 1 || !all[0].Saved {
		t.Errorf("listed as %+v", all)
	}
	must(host.Define(ctx, guest)) // what is saved stays
	is(libvirt.StateShutOff, libvirt.ReasonSaved, true)
	must(errors.Join(host.CheckSave(ctx, guestUUID), host.Start(ctx, guestUUID)))
	is(libvirt.StateRunning, "", false)

	must(errors.Join(host.Save(ctx, guestUUID), host.DiscardSave(ctx, guestUUID), host.DiscardSave(ctx, guestUUID)))
	is(libvirt.StateShutOff, libvirt.ReasonSaved, false)
	must(errors.Join(host.Start(ctx, guestUUID), host.Save(ctx, guestUUID), host.Undefine(ctx, guestUUID)))
	if _, err := host.Domain(ctx, guestUUID); !errors.Is(err, libvirt.ErrNotFound) {
		t.Errorf("after it was removed with its saved memory: %v", err)
	}
	for name, change := range map[string]error{
		"pausing": host.Suspend(ctx, guestUUID), "resuming": host.Resume(ctx, guestUUID), "saving": host.Save(ctx, guestUUID),
		"aborting": host.AbortJob(ctx, guestUUID), "checking": host.CheckSave(ctx, guestUUID),
	} {
		if !errors.Is(change, libvirt.ErrNotFound) {
			t.Errorf("%s what is not there: %v", name, change)
		}
	}
	must(host.DiscardSave(ctx, guestUUID))
}
