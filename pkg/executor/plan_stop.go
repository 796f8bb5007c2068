package executor

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// askAgain repeats the request to shut down: a guest that is still booting
	// does not hear its power button.
	askAgain = 10 * time.Second
	// defaultGrace is the default of spec.terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second
)

// stop ends the guest gracefully, one look at a time, and removes its domain
// afterwards if undefine is set.
func stop(in Situation, undefine bool) Decision {
	d, m := in.Domain, in.Memory
	if !d.State.Active() {
		return Decision{Steps: []Step{StepUndefine}, Again: true}
	}
	grace := defaultGrace
	if s := in.VM.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	asked := !m.StopAskedAt.IsZero()
	left := grace
	if asked {
		left = m.StopAskedAt.Add(grace).Sub(in.Now)
	}
	if left <= 0 || d.State == libvirt.StateCrashed {
		steps := []Step{StepDestroy}
		if undefine {
			steps = append(steps, StepUndefine)
		}
		return Decision{Steps: steps, Again: true}
	}
	decision := Decision{
		Report:       &Report{State: v1alpha1.HostStopping, Message: "the guest was asked to shut down"},
		RequeueAfter: min(left, askAgain),
	}
	if !asked || in.Now.Sub(m.LastAskedAt) >= askAgain {
		decision.Steps = []Step{StepAskShutdown}
	}
	return decision
}
