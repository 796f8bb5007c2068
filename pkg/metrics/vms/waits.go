package vms

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/podless"
)

// waits are the VMs on their way to a running guest. One that runs, or wants no
// host, is in none.
type waits struct {
	mu    sync.Mutex
	byUID map[types.UID]*wait
}

type wait struct {
	epoch int64
	// since is when it was first seen to want a host, and bound when it was seen to
	// have one; zero before.
	since, bound time.Time
}

func newWaits() *waits { return &waits{byUID: map[types.UID]*wait{}} }

func (w *waits) forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byUID, uid)
}

// since is since when the VM waits for a host; zero when it does not.
func (w *waits) since(vm *v1alpha1.VirtualMachine) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if waits := w.byUID[vm.UID]; waits != nil && vm.Status.Placement == nil && waits.epoch == vm.Status.Epoch {
		return waits.since
	}
	return time.Time{}
}

// see takes over a VM as it is now. before is what it was; nil when it is new to
// this process, and initial when it was there already.
func (w *waits) see(before, vm *v1alpha1.VirtualMachine, initial bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before != nil {
		w.count(before, vm)
	}
	profile := profileOf(vm)
	waits := w.byUID[vm.UID]
	if waits != nil && waits.epoch != vm.Status.Epoch {
		waits = nil
		delete(w.byUID, vm.UID)
	}
	switch {
	case runs(vm):
		if waits != nil {
			metrics.Running(profile, now.Sub(waits.since))
			if waits.bound.IsZero() {
				// Both were said before the first was seen.
				metrics.Bound(profile, now.Sub(waits.since))
				waits.bound = now
			}
			metrics.Started(profile, now.Sub(waits.bound))
		}
		delete(w.byUID, vm.UID)
	case !podless.Wants(vm):
		delete(w.byUID, vm.UID)
	case vm.Status.Placement != nil:
		if waits != nil && waits.bound.IsZero() {
			waits.bound = now
			metrics.Bound(profile, now.Sub(waits.since))
		}
	case waits == nil:
		since := now
		if initial {
			since = waitsSince(vm)
		}
		w.byUID[vm.UID] = &wait{epoch: vm.Status.Epoch, since: since}
	}
}

// waitsSince is what the API server knows of it: when the VM was created, or lost
// its last host.
func waitsSince(vm *v1alpha1.VirtualMachine) time.Time {
	if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionScheduled); c != nil && c.Status != metav1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return vm.CreationTimestamp.Time
}

func runs(vm *v1alpha1.VirtualMachine) bool {
	h := vm.Status.Host
	return vm.Status.Placement != nil && h != nil && h.Epoch == vm.Status.Epoch && h.State == v1alpha1.HostRunning
}

// count counts what a host says for the first time.
func (w *waits) count(before, vm *v1alpha1.VirtualMachine) {
	now, was := vm.Status.Host, before.Status.Host
	if now == nil {
		return
	}
	same := was != nil && was.Epoch == now.Epoch
	if now.State == v1alpha1.HostRejected && (!same || was.State != v1alpha1.HostRejected) && vm.Status.Placement != nil {
		metrics.ExecutorRejected(vm.Status.Placement.NodeName, rejection(now.Reason))
	}
	if now.State == v1alpha1.HostRunning && now.StartedAt != nil && (!same || !now.StartedAt.Equal(was.StartedAt)) {
		metrics.GuestStarted(profileOf(vm))
	}
}

// rejection is one of the two reasons, whatever a host says.
func rejection(reason string) string {
	if reason == v1alpha1.ReasonInvalidDomain {
		return reason
	}
	return v1alpha1.ReasonHostUnfit
}
