package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hotplug"
)

// phases are the words for people; the states that are missing end the binding,
// and the phase is the scheduler's again.
var phases = map[v1alpha1.HostState]v1alpha1.Phase{
	v1alpha1.HostRunning:   v1alpha1.PhaseRunning,
	v1alpha1.HostPaused:    v1alpha1.PhasePaused,
	v1alpha1.HostStopping:  v1alpha1.PhaseStopping,
	v1alpha1.HostStopped:   v1alpha1.PhaseStopped,
	v1alpha1.HostSuspended: v1alpha1.PhaseSuspended,
	v1alpha1.HostEnded:     v1alpha1.PhaseEnded,
	v1alpha1.HostFailed:    v1alpha1.PhaseFailed,
}

// Apply writes r into the status of vm, into the fields that are the host's.
// It is pure; applying it twice changes nothing.
func (r Report) Apply(status *v1alpha1.VirtualMachineStatus, in Situation) {
	vm, before := in.VM, HostStatus(in.VM)
	host := &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: r.State, Reason: r.Reason, Message: r.Message}
	if before != nil {
		host.StartedAt = before.StartedAt
	}
	switch r.State {
	case v1alpha1.HostRejected, v1alpha1.HostGone:
		// Nothing of it is defined here.
	default:
		if in.Domain == nil {
			break
		}
		host.DomainName, host.DomainUUID = vm.DomainName(), vm.DomainUUID()
		if in.Domain.State.Active() {
			if r.Reason != v1alpha1.ReasonStarting { // which may yet fail
				host.StartedAt = startedAt(before, in)
			}
			size := sizeNow(in, before)
			host.CPU, host.Memory, host.MemoryTarget = size.CPU, size.Memory, missed(in, before)
			host.Refused = standing(in)
			host.Disks = hotplug.Has(in.Domain.Disks)
		}
	}
	status.Host = host

	switch phase, known := phases[r.State]; {
	case r.Reason == v1alpha1.ReasonStarting, r.Reason == v1alpha1.ReasonWaitingForDisks, r.Reason == v1alpha1.ReasonWaitingForNetworks && r.State == v1alpha1.HostStopped:
		status.Phase = v1alpha1.PhaseScheduled
	case known:
		status.Phase = phase
	case r.Reason == v1alpha1.ReasonInvalidDomain:
		status.Phase = v1alpha1.PhaseInvalid
	}
	// A guest has what it was defined with, also when it stands still or its
	// memory is saved; an edit since then has not been acted upon.
	generation := vm.Generation
	if holds(r.State) && in.Domain != nil && in.Domain.Owned {
		generation = in.Domain.Ownership.Generation
	}
	status.ObservedGeneration = max(status.ObservedGeneration, generation)

	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: r.Reason, Message: r.Message,
		ObservedGeneration: status.ObservedGeneration, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	}
	if r.State == v1alpha1.HostRunning {
		ready.Status = metav1.ConditionTrue
	}
	if ready.Reason == "" {
		ready.Reason = string(r.State)
	}
	meta.SetStatusCondition(&status.Conditions, ready)
	fresh := before == nil || !before.StartedAt.Equal(host.StartedAt)
	in.Guest.apply(status, r.State, fresh, in.Now)
	markCards(status, in, r.State)
	markServing(status, in, r.State, fresh)
	markRestart(status, in)
	markDisks(status, in)
}

// holds says whether there is a guest in that state, or its saved memory.
func holds(s v1alpha1.HostState) bool {
	return s == v1alpha1.HostRunning || s == v1alpha1.HostPaused || s == v1alpha1.HostSuspended
}

// startedAt is when the running guest was started: as this process remembers,
// or as was reported before, or else now.
func startedAt(before *v1alpha1.HostStatus, in Situation) *metav1.Time {
	if !in.Memory.StartedAt.IsZero() {
		return WholeSeconds(in.Memory.StartedAt)
	}
	if before != nil && before.StartedAt != nil {
		return before.StartedAt
	}
	return WholeSeconds(in.Now)
}

// WholeSeconds cuts to what the API stores, or every report would differ.
func WholeSeconds(t time.Time) *metav1.Time {
	cut := metav1.NewTime(t.Truncate(time.Second))
	return &cut
}
