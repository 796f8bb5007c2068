package plan

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// run makes the guest run.
func run(in Situation, host *v1alpha1.HostStatus) Decision {
	d := in.Domain
	if d == nil {
		return start(in, host)
	}
	switch d.State {
	case libvirt.StateRunning:
		return runs(in, host)
	case libvirt.StatePaused:
		return resume(in, host)
	case libvirt.StateCrashed:
		return Decision{Report: crashed()}
	case libvirt.StateShutOff:
		return start(in, host)
	}
	return Decision{RequeueAfter: Settle} // on its way to another state
}

// runs decides about a guest that runs, as it should.
func runs(in Situation, host *v1alpha1.HostStatus) Decision {
	m := in.Memory
	if ours(in, host) {
		return abortSave(in) // the save has not halted the guest yet
	}
	if left := m.DiskRetryAt.Add(Settle).Sub(in.Now); left > 0 {
		// It was let go on although a disk was full: it may stop again at once.
		return Decision{RequeueAfter: left}
	}
	if left := m.StopAskedAt.Add(grace(in.VM)).Sub(in.Now); !m.StopAskedAt.IsZero() && left > 0 {
		return Decision{
			Report:       &Report{State: v1alpha1.HostStopping, Message: "the guest was asked to shut down before; when it has, it is started again"},
			RequeueAfter: min(left, AskAgain),
		}
	}
	decision, again := plug(in)
	if decision != nil {
		return *decision
	}
	cards, andAgain := replug(in)
	if cards != nil {
		cards.RequeueAfter = sooner(cards.RequeueAfter, again)
		return *cards
	}
	again = sooner(again, andAgain)
	if decision := resize(in, host); decision != nil {
		decision.RequeueAfter = sooner(decision.RequeueAfter, again)
		return *decision
	}
	return Decision{Report: &Report{State: v1alpha1.HostRunning}, RequeueAfter: sooner(balloonLook(in), again)}
}

// resume lets a paused guest go on that may.
func resume(in Situation, host *v1alpha1.HostStatus) Decision {
	d := in.Domain
	if in.Memory.CannotGoOn != "" {
		return Decision{Steps: []Step{StepEndDead}, Again: true}
	}
	switch d.Reason {
	case libvirt.ReasonCrashed:
		return Decision{Report: crashed()}
	case libvirt.ReasonSaving:
		if ours(in, host) {
			return abortSave(in)
		}
	case libvirt.ReasonDiskError:
		if wait, tried := in.Memory.Attempt.left(StepResume, in.Now); tried {
			return Decision{Report: Paused(d), RequeueAfter: wait}
		}
		return Decision{Steps: []Step{StepResume}, Report: Paused(d), RequeueAfter: Settle}
	case libvirt.ReasonPausedByUser, libvirt.ReasonReverted, libvirt.ReasonResumeFailed, libvirt.ReasonUnknown:
		return attempt(in, StepResume, Paused(d))
	}
	// Whoever halted it lets it go on, or wanted it to stand.
	return Decision{Report: Paused(d), RequeueAfter: AskAgain}
}

// start boots the guest, or has it go on from its saved memory, or says why it
// stays off.
func start(in Situation, host *v1alpha1.HostStatus) Decision {
	d, m := in.Domain, in.Memory
	if d == nil || !d.Saved {
		how, ended := endingOf(in, host)
		switch {
		case ended && !StartsAgain(in.VM.Spec.RunPolicy, how.reason):
			return Decision{Report: leftOff(in.VM, host, how)}
		case in.VM.RanOnce():
			return Decision{Report: ranOnce(in.VM)}
		case ended && d != nil && (m.Expected || m.Failures == 0) && (host == nil || host.State != v1alpha1.HostFailed && host.State != v1alpha1.HostEnded):
			return Decision{Steps: []Step{StepNoteEnd}, Again: true}
		}
	}
	if in.Now.Before(m.RetryAt) {
		return waitToRetry(in)
	}
	return begin(in)
}

func waitToRetry(in Situation) Decision {
	f := in.Memory.Failure
	return Decision{
		Report:       &Report{State: v1alpha1.HostFailed, Reason: f.Reason, Message: f.Message},
		RequeueAfter: in.Memory.RetryAt.Sub(in.Now),
	}
}

func crashed() *Report {
	return &Report{
		State: v1alpha1.HostFailed, Reason: v1alpha1.ReasonGuestEnded,
		Message: "the guest crashed and is kept as onCrash says: switch it off to have it started again",
	}
}

// attempt takes a step that may fail, with back-off; now is what to report while
// it waits.
func attempt(in Situation, step Step, now *Report) Decision {
	wait, tried := in.Memory.Attempt.left(step, in.Now)
	if !tried {
		return Decision{Steps: []Step{step}, Again: true}
	}
	now.Reason, now.Message = in.Memory.Attempt.Failure.Reason, in.Memory.Attempt.Failure.Message
	return Decision{Report: now, RequeueAfter: wait}
}

// left says how long to wait before the step is tried again, and false when it is
// to be tried now.
func (t Attempt) left(step Step, now time.Time) (time.Duration, bool) {
	left := t.RetryAt.Sub(now)
	return left, t.Step == step && left > 0
}
