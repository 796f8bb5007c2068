package faults

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// row says what is to become of a VM in a state when a fault strikes.
type row struct {
	fault *fault
	state state
	what  expectation
}

// table is all that is held. Rows of one fault stand together: it strikes once,
// for all of them.
var table = []row{
	{killedQEMU, isRunning, bootsAgain},
	{killedQEMU, isStarting, starts},
	{killedQEMU, isNeighbour, obeys},
	{stuckQEMU, isRunning, standsStill},
	{stuckQEMU, isToldToStop, goesOff},
	{stuckQEMU, isNeighbour, obeys},
	{fullDisk, hasFullDisk, standsStill},
	{fullDisk, isNeighbour, obeys},
	{killedLibvirtd, isRunning, runsOn},
	{killedLibvirtd, isOff, staysOff},
	{killedLibvirtd, isStarting, starts},
	{killedLibvirtd, isStopping, goesOff},
	{absentLibvirtd, isRunning, runsOn},
	{absentLibvirtd, isOff, staysOff},
	{absentLibvirtd, isStarting, starts},
	{absentLibvirtd, isToldToStop, goesOff},
	{absentAPI, isRunning, runsOn},
	{absentAPI, isOff, staysOff},
	{absentAPI, isStarting, startsOnce},
	{absentAPI, isStopping, goesOff},
	{cutAPI, isRunning, runsOn},
	{cutAPI, isOff, staysOff},
	{cutAPI, isStarting, startsOnce},
	{cutAPI, isToldToStop, goesOff},
	{killedExecutor, isRunning, runsOn},
	{killedExecutor, isOff, staysOff},
	{killedExecutor, isStarting, startsOnce},
	{killedExecutor, isStopping, goesOff},
	{killedExecutor, isToldToStart, bootsAgain},
	{killedBeforeDefine, isStarting, startsOnce},
	{killedAfterDefine, isStarting, startsOnce},
	{killedBeforeStart, isStarting, startsOnce},
	{killedAfterStart, isStarting, startsOnce},
	{killedBeforeShutdown, isStopping, goesOff},
	{killedAfterShutdown, isStopping, goesOff},
	{killedBeforeUndefine, isDeleted, goes},
	{killedAfterUndefine, isDeleted, goes},
	{killedScheduler, isRunning, runsOn},
	{killedScheduler, isOff, staysOff},
	{killedScheduler, isStarting, startsOnce},
	{fullStateDir, isRunning, runsOn},
	{fullStateDir, isOff, staysOff},
	{fullStateDir, isToldToStart, bootsAgain},
	{rebooted, isRunning, bootsAgain},
	{rebooted, isOff, staysOff},
	{rebooted, isStarting, starts},
	{rebooted, isDeletedAmid, goes},
	{rebooted, isOffAndDeletedAmid, goes},
	{restored, isRunning, runsOn},
	{restored, isOff, staysOff},
	{restored, isCreatedSince, leftAlone},
	{restored, isStoppedSince, bootsAgain},
	{restored, isStartedSince, goesOff},
	{restored, isDeletedSince, startsOnce},

	{killedQEMU, isPaused, isNotStarted},
	{killedQEMU, isManual, isLeftOff},
	{killedQEMU, isOnFailure, bootsAgain},
	{killedQEMU, isOnce, isLeftOff},
	{killedLibvirtd, isPaused, staysPaused},
	{killedLibvirtd, isSuspended, staysSuspended},
	{killedLibvirtd, isManual, runsOn},
	{killedLibvirtd, isOnFailure, runsOn},
	{killedLibvirtd, isOnce, runsOn},
	{killedLibvirtd, isSuspending, suspends},
	{absentAPI, isPaused, staysPaused},
	{absentAPI, isSuspended, staysSuspended},
	{absentAPI, isManual, runsOn},
	{absentAPI, isOnFailure, runsOn},
	{absentAPI, isOnce, runsOn},
	{killedExecutor, isPaused, staysPaused},
	{killedExecutor, isSuspended, staysSuspended},
	{killedExecutor, isManual, runsOn},
	{killedExecutor, isOnFailure, runsOn},
	{killedExecutor, isOnce, runsOn},
	{killedExecutor, isToldToPause, staysPaused},
	{killedExecutor, isToldToSuspend, suspends},
	{rebooted, isPaused, isNotStarted},
	{rebooted, isSuspended, staysSuspended},
	{rebooted, isManual, isLeftOff},
	{rebooted, isOnFailure, bootsAgain},
	{rebooted, isOnce, isLeftOff},
	{killedBeforePause, isPausing, staysPaused},
	{killedAfterPause, isPausing, staysPaused},
	{killedBeforeSave, isSuspending, suspends},
	{killedAfterSave, isSuspending, suspends},
	{killedBeforeStart, isWaking, wakes},
	{killedAfterStart, isWaking, wakes},
	{killedBeforeStart, isStartingOnce, isNotRisked},
	{killedAfterStart, isStartingOnce, startsOnce},
	{killedBeforeStart, isRestarting, restartsOnce},
	{killedAfterStart, isRestarting, restartsOnce},
	{killedBeforeReset, isResetting, isNotReset},
	{killedAfterReset, isResetting, isReset},
}

// stillTime is how long VMs are watched in the end to stay as they are.
const stillTime = 5 * time.Second

// trial is a row while its fault is tried.
type trial struct {
	row
	*subject
	// number is the row's in the table.
	number        int
	before, after observation
	wrong         []string
	took          time.Duration
}

// TestFaults holds the table, and in a short run a few rows of it.
func TestFaults(t *testing.T) {
	chosen, err := regexp.Compile(*states)
	must(t, err)
	for at := 0; at < len(table); {
		f := table[at].fault
		var rows []*trial
		for ; at < len(table) && table[at].fault == f; at++ {
			if (!testing.Short() || f.short && table[at].state.short) && chosen.MatchString(table[at].state.name) {
				rows = append(rows, &trial{row: table[at], number: at})
			}
		}
		if len(rows) > 0 {
			t.Run(f.name, func(t *testing.T) { try(t, f, rows) })
		}
	}
}

// try lets the fault strike, and holds what becomes of each VM.
func try(t *testing.T, f *fault, rows []*trial) {
	makeRoom(t, rows)
	for _, r := range rows {
		name := r.state.shares()
		if !r.state.shared {
			name = fmt.Sprintf("guest-%d", r.number)
		}
		r.subject = &subject{name: name}
		if r.state.reach != nil {
			r.subject = r.state.reach(t, name)
		}
		if !r.state.shared {
			t.Cleanup(func() { tidy(t, r.subject) })
		}
	}
	if f.after != nil {
		t.Cleanup(func() { f.after(t) })
	}
	if f.prepare != nil {
		f.prepare(t)
	}
	for _, r := range rows {
		if r.state.then != nil {
			r.state.then(t, r.subject)
		}
		var err error
		r.before, err = r.observe(t.Context())
		must(t, err)
		r.before.said = r.said
		// One that is on its way somewhere is not waited for.
		if running(r.before) == "" && r.state.then == nil || r.what.says == leftAlone.says {
			must(t, r.before.hear(bootTime))
		}
	}
	struck := time.Now()
	f.strike(t, spared(rows))
	for _, r := range rows {
		if r.state.amid != nil {
			r.state.amid(t, r.subject)
		}
	}
	if f.amid != nil {
		f.amid(t, spared(rows))
	}
	for _, r := range rows {
		if r.what.amid != nil {
			r.hold("while it lasts", r.what.amid(r.subject, r.before))
		}
	}
	time.Sleep(time.Until(struck.Add(f.lasts)))
	if f.heal != nil {
		f.heal(t, spared(rows))
	} else {
		up(t)
	}
	healed := time.Now()
	var settling sync.WaitGroup
	for _, r := range rows {
		settling.Go(func() { r.hold("afterwards", r.settle(t.Context(), healed)) })
	}
	settling.Wait()
	stillUntil(t, rows, time.Now().Add(stillTime))
	for _, r := range rows {
		if r.what.finally != nil && len(r.wrong) == 0 {
			settling.Go(func() {
				var wrong string
				r.after, wrong = r.what.finally(t.Context(), r.subject, r.before)
				r.hold("in the end", wrong)
			})
		}
	}
	settling.Wait()
	for _, r := range rows {
		t.Log(outcomes.add(*r))
		for _, wrong := range r.wrong {
			t.Errorf("%s; %s: %s; before: %s; now: %s", f.name, r.state.name, wrong, r.before.status(), r.after.status())
		}
	}
}

// shares is the name of the VM that is used for one fault after the other.
func (s state) shares() string {
	return strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(s.name, " ", "-"), ",", ""))
}

// makeRoom removes the VMs of those that are shared that the rows do not need:
// the host has not room for all.
func makeRoom(t *testing.T, rows []*trial) {
	needed := map[string]bool{}
	for _, r := range rows {
		needed[r.state.shares()] = true
	}
	for _, r := range table {
		if r.state.shared && !needed[r.state.shares()] {
			remove(t, r.state.shares())
		}
	}
}

// spared are the VMs that the fault hits.
func spared(rows []*trial) []*subject {
	var hit []*subject
	for _, r := range rows {
		if r.state.name != isNeighbour.name {
			hit = append(hit, r.subject)
		}
	}
	return hit
}

func (r *trial) hold(when, wrong string) {
	if wrong != "" {
		r.wrong = append(r.wrong, when+": "+wrong)
	}
}

// settle waits until the VM is as expected, its guest says so itself, and
// nothing but that is true at once.
func (r *trial) settle(ctx context.Context, since time.Time) string {
	return await(settleTime, func() string {
		o, err := r.observe(ctx)
		if err != nil {
			return err.Error()
		}
		r.after = o
		if why := r.what.after(r.before, o); why != "" {
			return why
		}
		r.took = time.Since(since)
		if err := r.after.hear(bootTime); err != nil {
			return err.Error()
		}
		return r.what.after(r.before, r.after)
	})
}

// stillUntil watches that what has settled stays so.
func stillUntil(t *testing.T, rows []*trial, end time.Time) {
	for time.Now().Before(end) {
		for _, r := range rows {
			o, err := r.observe(t.Context())
			if err != nil || len(r.wrong) > 0 {
				continue // what is not seen for a moment has not changed
			}
			r.hold("later", r.what.after(r.before, o))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// tidy removes what is left of a VM that one fault was tried with. What has no
// VM any more is ended on the host, as an administrator would.
func tidy(t *testing.T, s *subject) {
	remove(t, s.name)
	if out, err := env.Virsh("list", "--all", "--uuid"); err != nil || s.uuid == "" || !strings.Contains(out, s.uuid) {
		return
	}
	// One that does not run cannot be destroyed.
	_, _ = env.Virsh("destroy", s.uuid)
	if _, err := env.Virsh("undefine", s.uuid); err != nil {
		t.Error(err)
	}
}
