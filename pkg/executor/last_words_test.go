package executor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// qemuSays is the log of a QEMU that was started when the stage is set.
func (s *stage) qemuSays(words string) {
	s.t.Helper()
	s.config.QEMULogDir = s.t.TempDir()
	text := vmtest.Now.UTC().Format("2006-01-02 15:04:05.000+0000") + ": starting up libvirt version: 9.0.0\n/usr/bin/qemu \\\n-msg timestamp=on\n" + words + "\n"
	if err := os.WriteFile(filepath.Join(s.config.QEMULogDir, "default:guest.log"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.restart()
}

func TestWhyAGuestsQEMUDiedIsTold(t *testing.T) {
	for policy, want := range map[v1alpha1.RunPolicy]string{
		v1alpha1.RunAlways: "the guest crashed, or its QEMU was killed (it said last: Bail out!); it is started again after a while",
		v1alpha1.RunManual: "the guest crashed, or its QEMU was killed (it said last: Bail out!); spec.runPolicy Manual: to start it, set spec.powerState to Stopped and, when the VM is, to Running",
	} {
		s := newStage(t, vmtest.Bound(vmtest.PolicyIs(policy)))
		s.settles()
		s.qemuSays("Bail out!")
		_ = s.host.set(vmtest.UID, libvirt.StateShutOff, libvirt.ReasonCrashed)
		s.settles()
		if got := s.vm().Status.Message; got != want {
			t.Errorf("%s: %q, want %q", policy, got, want)
		}
	}
	s := newStage(t, vmtest.Bound(vmtest.PolicyIs(v1alpha1.RunManual)))
	s.settles()
	s.qemuSays("terminating on signal 15")
	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, libvirt.ReasonShutDown)
	s.settles()
	if got := s.vm().Status.Message; strings.Contains(got, "terminating") {
		t.Errorf("of one that shut down: %q", got)
	}
}

func TestWhyAQEMUDidNotStartIsToldOnce(t *testing.T) {
	for said, want := range map[string]string{
		"internal error: qemu: no such device": "internal error: qemu: no such device",
		"internal error: no monitor":           "internal error: no monitor (it said last: one; qemu: no such device)",
	} {
		s := newStage(t, vmtest.Bound())
		s.qemuSays("one\nqemu: no such device")
		s.host.startErr = errors.New(said)
		s.mustTurn()
		if got := s.said().Message; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	s := newStage(t, vmtest.Bound())
	s.qemuSays("of an earlier start")
	s.clock.Step(plan.LastBackoff)
	s.host.startErr = errors.New("no room")
	s.mustTurn()
	if got := s.said().Message; got != "no room" {
		t.Errorf("%q", got)
	}
}

// The API refuses a longer note, and the event would be lost.
func TestWhatEventsTellFitsIntoThem(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.host.startErr = errors.New(strings.Repeat("very long ", 300))
	s.mustTurn()
	select {
	case e := <-s.recorder.Events:
		if note := strings.TrimPrefix(e, "Warning StartFailed "); len(note) > maxNote || !strings.HasPrefix(note, vmtest.Node+": very long") || !strings.HasSuffix(note, "...") {
			t.Errorf("%d bytes: %s", len(note), e)
		}
	default:
		t.Error("nothing is told")
	}
}
