package faults

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"domus.dev/domus/test/internal/live"
)

// row says what is to become of a VM in a state when a fault strikes.
type row struct {
	fault *fault
	state state
	what  expectation
}

// table is all that is held. A fault strikes once for those of its rows that
// stand together.
var table = []row{
	{killedQEMU, isRunning, bootsAgain},
	{killedQEMU, isStarting, starts},
	{killedQEMU, isNeighbour, obeys},
	{stuckQEMU, isRunning, standsStill},
	{stuckQEMU, isToldToStop, goesOff},
	{stuckQEMU, isNeighbour, obeys},
	{fullDisk, hasFullDisk, standsStill},
	{fullDisk, hasFullDiskAndPauses, staysPaused},
	{fullDisk, hasFullDiskAndSuspends, suspends},
	{fullDisk, hasFullDiskAndStops, goesOff},
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
	{stuckQEMU, isPaused, staysPaused},
	{stuckQEMU, isManual, standsStill},
	{stuckQEMU, isToldToPause, staysPaused},
	{stuckQEMU, isToldToSuspend, suspends},
	{stuckQEMU, isToldToRelease, givesBack},
	{stuckQEMU, isToldToForceStop, forceStops},
	{stuckQEMU, isToldToSetPassword, mayBeSet},
	{killedLibvirtd, isPaused, staysPaused},
	{killedLibvirtd, isSuspended, staysSuspended},
	{killedLibvirtd, isEnded, staysEnded},
	{killedLibvirtd, isManual, runsOn},
	{killedLibvirtd, isOnFailure, runsOn},
	{killedLibvirtd, isOnce, runsOn},
	{killedLibvirtd, isSuspending, suspends},
	{killedLibvirtd, isReleasing, givesBack},
	{killedLibvirtd, isForceStopping, forceStops},
	{killedLibvirtd, isToldToSetPassword, passwordIsSet},
	{absentLibvirtd, isPaused, staysPaused},
	{absentLibvirtd, isSuspended, staysSuspended},
	{absentLibvirtd, isEnded, staysEnded},
	{absentLibvirtd, isToldToPause, staysPaused},
	{absentLibvirtd, isToldToSuspend, suspends},
	{absentLibvirtd, isToldToWake, wakes},
	{absentLibvirtd, isToldToRelease, givesBack},
	{absentLibvirtd, isToldToForceStop, forceStops},
	{absentAPI, isPaused, staysPaused},
	{absentAPI, isSuspended, staysSuspended},
	{absentAPI, isEnded, staysEnded},
	{absentAPI, isManual, runsOn},
	{absentAPI, isOnFailure, runsOn},
	{absentAPI, isOnce, runsOn},
	{absentAPI, isReleasing, givesBack},
	{absentAPI, isForceStopping, forceStops},
	{cutAPI, isPaused, staysPaused},
	{cutAPI, isSuspended, staysSuspended},
	{cutAPI, isEnded, staysEnded},
	{cutAPI, isToldToPause, staysPaused},
	{cutAPI, isToldToSuspend, suspends},
	{cutAPI, isToldToWake, wakes},
	{cutAPI, isToldToRelease, givesBack},
	{cutAPI, isToldToForceStop, forceStops},
	{killedExecutor, isPaused, staysPaused},
	{killedExecutor, isSuspended, staysSuspended},
	{killedExecutor, isEnded, staysEnded},
	{killedExecutor, isManual, runsOn},
	{killedExecutor, isOnFailure, runsOn},
	{killedExecutor, isOnce, runsOn},
	{killedExecutor, isToldToPause, staysPaused},
	{killedExecutor, isToldToSuspend, suspends},
	{killedExecutor, isToldToWake, wakes},
	{killedExecutor, isToldToRelease, givesBack},
	{killedExecutor, isToldToForceStop, forceStops},
	{killedExecutor, isToldToSetPassword, passwordIsSet},
	{killedScheduler, isPaused, staysPaused},
	{killedScheduler, isSuspended, staysSuspended},
	{killedScheduler, isEnded, staysEnded},
	{killedScheduler, isPausing, staysPaused},
	{killedScheduler, isSuspending, suspends},
	{killedScheduler, isReleasing, givesBack},
	{killedScheduler, isForceStopping, forceStops},
	{killedScheduler, isSettingPassword, passwordIsSet},
	{rebooted, isPaused, isNotStarted},
	{rebooted, isSuspended, staysSuspended},
	{rebooted, isEnded, staysEnded},
	{rebooted, isManual, isLeftOff},
	{rebooted, isOnFailure, bootsAgain},
	{rebooted, isOnce, isLeftOff},
	{rebooted, isToldToRelease, givesBack},
	{rebooted, isToldToForceStop, isSwitchedOff},
	{restored, isPaused, staysPaused},
	{restored, isSuspended, staysSuspended},
	{restored, isEnded, staysEnded},
	{restored, isPausedSince, keepsLife},
	{restored, isSuspendedSince, wakes},
	{restored, isWokenSince, suspends},
	{restored, isEndedSince, staysEnded},
	{restored, isReleasedSince, isPlacedAgain},
	{restored, isForceStoppedSince, keepsLife},

	{killedBeforePause, isPausing, staysPaused},
	{killedAfterPause, isPausing, staysPaused},
	{killedBeforeResume, isGoingOn, goesOnInPlace},
	{killedAfterResume, isGoingOn, goesOnInPlace},
	{killedBeforeSave, isSuspending, suspends},
	{killedAfterSave, isSuspending, suspends},
	{killedQEMUAmidSave, isSuspending, isLost},
	{killedLibvirtdAmidSave, isSuspending, suspends},
	{killedExecutorAmidSave, isSuspending, suspends},
	{rebootedAmidSave, isSuspending, isLost},
	{killedBeforeStart, isWaking, wakes},
	{killedAfterStart, isWaking, wakes},
	{killedBeforeDiscard, isDiscarding, goesOff},
	{killedAfterDiscard, isDiscarding, goesOff},
	{killedBeforeUndefine, isSuspendedDeleted, goes},
	{killedAfterUndefine, isSuspendedDeleted, goes},
	{killedBeforeUndefine, isReleasing, givesBack},
	{killedAfterUndefine, isReleasing, givesBack},
	{killedBeforeDestroy, isWithoutGrace, goesOff},
	{killedAfterDestroy, isWithoutGrace, goesOff},
	{killedBeforeDestroy, isDeletedWithoutGrace, goes},
	{killedAfterDestroy, isDeletedWithoutGrace, goes},
	{killedBeforeStart, isStartingOnce, isNotRisked},
	{killedAfterStart, isStartingOnce, startsOnce},
	{killedBeforeStart, isRestarting, restartsOnce},
	{killedAfterStart, isRestarting, restartsOnce},
	{killedBeforeReset, isResetting, isNotReset},
	{killedAfterReset, isResetting, isReset},
	{killedBeforeDestroy, isForceStopping, forceStops},
	{killedAfterDestroy, isForceStopping, forceStops},
	{killedBeforePassword, isSettingPassword, passwordIsSet},
	{killedAfterPassword, isSettingPassword, passwordIsSet},
}

// room is how many VMs of one vCPU the host has room for.
const room = 8

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
	wanted, err := regexp.Compile(*states)
	must(t, err)
	number, of, err := partOf(*part)
	must(t, err)
	all := strikes(table)
	for _, rows := range all[begin(all, number-1, of):begin(all, number, of)] {
		var chosen []*trial
		for _, r := range rows {
			if (!testing.Short() || r.fault.short && r.state.short) && wanted.MatchString(r.state.name) {
				chosen = append(chosen, r)
			}
		}
		if len(chosen) > 0 {
			t.Run(chosen[0].fault.name, func(t *testing.T) { try(t, chosen[0].fault, chosen) })
		}
	}
}

// strikes are the rows for which a fault strikes at one time.
func strikes(table []row) [][]*trial {
	var out [][]*trial
	for i, r := range table {
		last := len(out) - 1
		if i == 0 || r.fault.alone || r.fault != table[i-1].fault || len(out[last]) == room {
			out, last = append(out, nil), last+1
		}
		out[last] = append(out[last], &trial{row: r, number: i})
	}
	return out
}

// partOf reads K/N.
func partOf(s string) (number, of int, err error) {
	if _, err := fmt.Sscanf(s, "%d/%d", &number, &of); err != nil || number < 1 || number > of {
		return 0, 0, fmt.Errorf("-part is %q: give K/N, such as 1/3", s)
	}
	return number, of, nil
}

// begin is the strike with which a part of the table begins, the first being 0, so
// that parts take about the same time.
func begin(all [][]*trial, part, of int) int {
	// A fault that strikes many VMs takes this much longer than one of one VM.
	const many = 3
	weight := func(rows []*trial) int {
		if rows[0].fault.alone {
			return 1
		}
		return many
	}
	total := 0
	for _, rows := range all {
		total += weight(rows)
	}
	before := 0
	for i, rows := range all {
		if before*of >= total*part {
			return i
		}
		before += weight(rows)
	}
	return len(all)
}

// try lets the fault strike, and holds what becomes of each VM.
func try(t *testing.T, f *fault, rows []*trial) {
	// vm-scheduler ends by itself when it could not renew its Lease in time, such as
	// some time after the API server was away: whoever keeps it starts it again.
	if live.CommandLine(pid(t, scheduler)) == "" {
		up(t)
	}
	makeRoom(t, rows)
	if f.ready != nil {
		f.ready(t)
	}
	for _, r := range rows {
		r.subject = &subject{name: r.state.shares()}
		if !r.state.shared {
			r.name = fmt.Sprintf("guest-%d", r.number)
		}
	}
	t.Cleanup(func() { tidy(t, rows) })
	// All of them boot at once.
	for _, r := range rows {
		vm, err := get(t.Context(), r.name)
		must(t, err)
		if vm != nil || r.state.reach == nil {
			continue
		}
		if r.state.create == nil {
			create(t, r.name)
		} else {
			r.state.create(t, r.name)
		}
	}
	for _, r := range rows {
		if r.state.reach != nil {
			r.subject = r.state.reach(t, r.name)
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

// tidy removes what is left of VMs that one fault was tried with. What has no VM
// any more is ended on the host, as an administrator would.
func tidy(t *testing.T, rows []*trial) {
	for _, r := range rows {
		if !r.state.shared {
			_ = env.Delete(context.Background(), named(r.name)) // all at once; remove insists
		}
	}
	for _, r := range rows {
		if r.state.shared {
			continue
		}
		remove(t, r.name)
		if out, err := env.Virsh("list", "--all", "--uuid"); err != nil || r.uuid == "" || !strings.Contains(out, r.uuid) {
			continue
		}
		// One that does not run cannot be destroyed.
		_, _ = env.Virsh("destroy", r.uuid)
		if _, err := env.Virsh("undefine", r.uuid); err != nil {
			t.Error(err)
		}
	}
}
