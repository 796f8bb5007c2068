package plan

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// AskAgain repeats the request to shut down: a guest that is still booting
	// does not hear its power button.
	AskAgain = 10 * time.Second
	// defaultGrace is the default of spec.terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second
)

// off has no guest, nor saved memory, and with spec.whenStopped Release nothing of
// the VM on the host, unless that has to be kept.
func off(in Situation) Decision {
	d, release, held := in.Domain, in.VM.Spec.WhenStopped == v1alpha1.SlotRelease, ""
	if release && HoldsPlace(in) {
		release, held = false, KeptForFirmware(in)
	}
	switch {
	case d != nil && (d.State.Active() || release):
		return stop(in, release)
	case d != nil && d.Saved:
		return Decision{Steps: []Step{StepDiscardSave}, Again: true}
	case release:
		return Decision{Report: &Report{
			State: v1alpha1.HostGone, Reason: v1alpha1.ReasonReleased, Message: "the VM is stopped, and nothing of it is left on the host",
		}}
	}
	return Decision{Report: &Report{State: v1alpha1.HostStopped, Message: held}}
}

// stop ends the guest gracefully, one look at a time, and removes its domain
// afterwards if undefine is set.
func stop(in Situation, undefine bool) Decision {
	if !in.Domain.State.Active() {
		return Decision{Steps: []Step{StepUndefine}, Again: true}
	}
	asked := in.Now
	if !in.Memory.StopAskedAt.IsZero() {
		asked = in.Memory.StopAskedAt
	}
	steps := []Step{StepDestroy}
	if undefine {
		steps = append(steps, StepUndefine)
	}
	return end(in, asked.Add(grace(in.VM)), steps...)
}

// grace is how long a guest has to shut down when asked.
func grace(vm *v1alpha1.VirtualMachine) time.Duration {
	if s := vm.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultGrace
}

// end asks the guest to shut down, and takes the last steps when it has not by
// the deadline.
func end(in Situation, deadline time.Time, last ...Step) Decision {
	d, m := in.Domain, in.Memory
	left := deadline.Sub(in.Now)
	if left <= 0 || d.State == libvirt.StateCrashed {
		return Decision{Steps: last, Again: true}
	}
	decision := Decision{
		Report:       &Report{State: v1alpha1.HostStopping, Message: "the guest was asked to shut down"},
		RequeueAfter: min(left, AskAgain),
	}
	if in.VM.DeletionTimestamp != nil {
		decision.Report.Reason = v1alpha1.ReasonDeleting
	}
	if m.StopAskedAt.IsZero() || in.Now.Sub(m.LastAskedAt) >= AskAgain {
		decision.Steps = asks(in)
	}
	return decision
}

// asks are the steps that ask a guest to shut down: one that stands still has to
// go on for that.
func asks(in Situation) []Step {
	switch {
	case saving(in):
		return []Step{StepAbortSave, StepAskShutdown}
	case in.Domain.State == libvirt.StatePaused && in.Domain.Reason != libvirt.ReasonCrashed:
		return []Step{StepAskShutdown, StepResume}
	}
	return []Step{StepAskShutdown}
}
