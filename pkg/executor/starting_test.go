package executor

import (
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// A guest that an executor finds amid its start, such as after its own restart, has
// not run yet: its phase says so, and a start that comes to nothing counts for none.
func TestAGuestThatLibvirtIsStartingIsNotPaused(t *testing.T) {
	s := newStage(t, vmtest.Bound(vmtest.PolicyIs(v1alpha1.RunOnce)))
	s.host.startErr = libvirt.ErrTimeout
	_ = s.turn()
	_ = s.host.set(vmtest.UID, libvirt.StatePaused, libvirt.ReasonStarting)
	s.host.done, s.host.startErr = nil, nil
	s.restart()
	s.settles()
	s.is("Paused Starting")
	if vm := s.vm(); vm.Status.Phase != v1alpha1.PhaseScheduled || vm.Status.Host.StartedAt != nil || vm.Status.Reason != v1alpha1.ReasonStarting {
		t.Errorf("phase %s, reason %q, started at %v", vm.Status.Phase, vm.Status.Reason, vm.Status.Host.StartedAt)
	}

	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, libvirt.ReasonFailed)
	s.settles()
	s.is("Running", "define", "start")
	if vm := s.vm(); vm.Status.Phase != v1alpha1.PhaseRunning || vm.Status.Host.StartedAt == nil {
		t.Errorf("phase %s, started at %v", vm.Status.Phase, vm.Status.Host.StartedAt)
	}
}

func TestAGuestThatIsRestoredKeepsTheTimeOfItsStart(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.settles()
	started := s.said().StartedAt
	s.edit(vmtest.Shall(v1alpha1.PowerSuspended))
	s.settles()
	s.edit(vmtest.Shall(v1alpha1.PowerRunning))
	_ = s.host.set(vmtest.UID, libvirt.StatePaused, libvirt.ReasonStarting)
	s.restart()
	s.settles()
	if h := s.said(); h.Reason != v1alpha1.ReasonStarting || !h.StartedAt.Equal(started) {
		t.Errorf("%s %s, started at %s, want %s", h.State, h.Reason, h.StartedAt, started)
	}
}
