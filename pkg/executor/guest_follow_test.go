package executor

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

const statusWrite = "patch *v1alpha1.VirtualMachine status"

// speak is a guest's answer.
var speak = libvirt.GuestInfo{
	Hostname:   "web-1",
	OS:         libvirt.GuestOS{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12", Kernel: "6.1.0"},
	Interfaces: []libvirt.GuestInterface{{Name: "eth0", MAC: "52:54:00:12:34:56", Addresses: []string{"10.0.2.15"}}},
}

// withAgents has guests start with a channel that nothing has opened.
func withAgents(t *testing.T) *stage {
	s := newStage(t, vmtest.Bound())
	s.host.channel = libvirt.AgentClosed
	s.host.guestInfo = func(string) (libvirt.GuestInfo, error) { return speak, nil }
	return s
}

// connected is the VM's condition; nil when it has none.
func (s *stage) connected() *metav1.Condition {
	return meta.FindStatusCondition(s.vm().Status.Conditions, v1alpha1.ConditionAgentConnected)
}

// pass lets time go by for a while in which a guest is asked when that is due,
// and its VM has the turns that it is enqueued for and one each minute.
func (s *stage) pass(d time.Duration) (asked int) {
	s.t.Helper()
	for end := s.clock.Now().Add(d); s.clock.Now().Before(end); s.clock.Step(time.Second) {
		before := s.agent.guests.known[vmtest.UID]
		due := before != nil && !before.due.IsZero() && !before.due.After(s.clock.Now())
		if due {
			asked++
			s.agent.inquire(context.Background(), vmtest.UID)
		}
		if due || s.clock.Now().Unix()%60 == 0 {
			s.mustTurn()
		}
	}
	return asked
}

func TestAGuestIsReportedWithOneWriteAndAnIdleOneWithNone(t *testing.T) {
	s := withAgents(t)
	s.mustTurn()
	s.mustTurn()
	if diff := cmp.Diff([]string{"patch *v1alpha1.VirtualMachine", statusWrite}, s.writes); diff != "" {
		t.Errorf("starting it: %s", diff)
	}
	if c := s.connected(); c == nil || c.Status != metav1.ConditionUnknown || c.Reason != v1alpha1.ReasonAgentSilent {
		t.Errorf("before there is an agent: %+v", c)
	}

	s.writes = nil
	if asked := s.pass(time.Hour); asked != 0 || len(s.writes) != 0 {
		t.Errorf("without an agent it was asked %d times, and wrote %v", asked, s.writes)
	}

	s.host.agent(libvirt.AgentOpen)
	s.mustTurn()
	if len(s.writes) != 0 {
		t.Errorf("before it was asked: %v", s.writes)
	}
	s.agent.inquire(context.Background(), vmtest.UID)
	s.mustTurn()
	if diff := cmp.Diff([]string{statusWrite}, s.writes); diff != "" {
		t.Errorf("with the answer: %s", diff)
	}
	want := &v1alpha1.GuestStatus{
		Hostname:   "web-1",
		OS:         &v1alpha1.GuestOS{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12", Kernel: "6.1.0"},
		Interfaces: []v1alpha1.GuestInterface{{Name: "eth0", MAC: "52:54:00:12:34:56", Addresses: []string{"10.0.2.15"}}},
		Addresses:  "10.0.2.15",
	}
	if diff := cmp.Diff(want, s.vm().Status.Guest); diff != "" {
		t.Error(diff)
	}
	if c := s.connected(); c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonAgentAnswers {
		t.Errorf("with the answer: %+v", c)
	}

	s.writes = nil
	if asked := s.pass(24 * time.Hour); asked < 150 || asked > 300 || len(s.writes) != 0 {
		t.Errorf("in an idle day it was asked %d times, and wrote %v", asked, s.writes)
	}
	// An executor that is started again asks, and writes nothing.
	s.restart()
	s.writes = nil
	s.mustTurn()
	if asked := s.pass(time.Minute); asked != 2 || len(s.writes) != 0 {
		t.Errorf("after a restart it was asked %d times, and wrote %v", asked, s.writes)
	}
}

func TestAnAgentThatGoesAwayIsReportedAndItsGuestStays(t *testing.T) {
	s := withAgents(t)
	s.mustTurn()
	s.host.agent(libvirt.AgentOpen)
	s.mustTurn()
	s.pass(time.Second)
	before := s.vm().Status.Guest
	s.writes = nil

	s.host.agent(libvirt.AgentClosed)
	s.mustTurn()
	if len(s.writes) != 0 {
		t.Errorf("for a moment: %v", s.writes)
	}
	s.clock.Step(closedFor)
	eventually(t, "the VM has a turn by itself", func() bool { return s.agent.queue.Len() > 0 })
	s.mustTurn()
	if c := s.connected(); c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonAgentSilent {
		t.Errorf("got %+v", c)
	}
	if diff := cmp.Diff(before, s.vm().Status.Guest); diff != "" {
		t.Error(diff)
	}
	s.host.agent(libvirt.AgentOpen)
	s.mustTurn()
	s.pass(time.Second)
	if c := s.connected(); c.Status != metav1.ConditionTrue {
		t.Errorf("back again: %+v", c)
	}
	if diff := cmp.Diff([]string{statusWrite, statusWrite}, s.writes); diff != "" {
		t.Error(diff)
	}

	// Switched off, with nothing of it left.
	s.edit(vmtest.Switched)
	s.mustTurn()
	s.mustTurn()
	if vm := s.vm(); vm.Status.Guest != nil || s.connected() != nil || vm.Status.Host.State != v1alpha1.HostStopped {
		t.Errorf("got %+v", vm.Status)
	}
	if len(s.agent.guests.known) != 0 {
		t.Error("it is still known")
	}
}

func TestAGuestThatIsStartedAgainBeginsAnew(t *testing.T) {
	s := withAgents(t)
	s.mustTurn()
	s.host.agent(libvirt.AgentOpen)
	s.mustTurn()
	s.pass(time.Second)
	_ = s.host.set(vmtest.UID, libvirt.StateShutOff, "crashed")
	s.mustTurn()
	if s.vm().Status.Guest != nil || s.connected() != nil {
		t.Errorf("while it does not run: %+v", s.vm().Status)
	}
	s.clock.Step(plan.FirstBackoff)
	s.mustTurn()
	if c := s.connected(); s.vm().Status.Guest != nil || c == nil || c.Status != metav1.ConditionUnknown {
		t.Errorf("before its agent is there: %+v", s.vm().Status)
	}
}

func TestAVMThatIsGoneIsNotAsked(t *testing.T) {
	s := withAgents(t)
	s.mustTurn()
	s.host.agent(libvirt.AgentOpen)
	s.mustTurn()
	s.edit(func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = nil })
	if err := s.api.Delete(context.Background(), s.vm()); err != nil {
		t.Fatal(err)
	}
	s.mustTurn() // its domain is in quarantine
	if len(s.agent.guests.known) != 0 {
		t.Error("it is still known")
	}
}

// hungAgents is a host whose agents never answer.
type hungAgents struct {
	*fakeHost
	asked chan string
}

func (h hungAgents) GuestInfo(ctx context.Context, uuid string) (libvirt.GuestInfo, error) {
	h.asked <- uuid
	<-ctx.Done()
	return libvirt.GuestInfo{}, libvirt.ErrTimeout
}

func TestAnAgentThatHangsDelaysNothing(t *testing.T) {
	s := withAgents(t)
	s.host.channel = libvirt.AgentOpen
	host := hungAgents{fakeHost: s.host, asked: make(chan string, 10)}
	s.host.events <- libvirt.Event{Kind: libvirt.EventConnected}
	agent := runOn(t, s, host)
	select {
	case <-host.asked:
	case <-time.After(10 * time.Second):
		t.Fatal("it was not asked")
	}
	began := time.Now()
	s.edit(vmtest.Switched)
	eventually(t, "the guest is switched off", func() bool {
		agent.Enqueue(guestKey) // as the events of its end would
		h := s.said()
		return h != nil && h.State == v1alpha1.HostStopped
	})
	if took := time.Since(began); took > guestTimeout/2 {
		t.Errorf("it took %s", took)
	}
	close(s.host.events)
}

func TestWhatHappensInAGuestIsToldAndNotWithoutEnd(t *testing.T) {
	s := newStage(t, vmtest.Bound())
	s.mustTurn()
	s.told()
	for _, e := range []libvirt.Event{
		{Kind: libvirt.EventRebooted, UUID: vmtest.UID},
		{Kind: libvirt.EventCrashed, UUID: vmtest.UID, Reason: "its kernel panicked"},
		{Kind: libvirt.EventWatchdog, UUID: vmtest.UID, Action: "Reset"},
		{Kind: libvirt.EventDiskError, UUID: vmtest.UID, Action: "Pause", Device: "virtio-disk0", Reason: "enospc"},
		{Kind: libvirt.EventDiskError, UUID: vmtest.UID, Action: "Unknown", Device: "ua-\x1b[2J"},
		{Kind: libvirt.EventRebooted, UUID: "99999999-9999-4999-8999-999999999999"},
	} {
		s.agent.happened(e)
	}
	var got []string
	for len(s.recorder.Events) > 0 {
		got = append(got, <-s.recorder.Events)
	}
	if diff := cmp.Diff([]string{
		"Normal GuestRebooted The guest rebooted",
		"Warning GuestPanicked The guest crashed: its kernel panicked",
		"Warning WatchdogFired The guest's watchdog fired, since the guest did not feed it in time; the guest is reset",
		"Warning DiskError Disk virtio-disk0 could not be read or written: its host has no space left for it (enospc); the guest is paused",
		"Warning DiskError Disk ua-[2J could not be read or written: the host does not say why; what is done about it is not known",
	}, got); diff != "" {
		t.Error(diff)
	}
	for range 100_000 {
		s.agent.happened(libvirt.Event{Kind: libvirt.EventRebooted, UUID: vmtest.UID})
	}
	if n := len(s.told()); n != tellBurst-1 {
		t.Errorf("100,000 reboots at once were told %d times", n)
	}
	s.clock.Step(time.Hour)
	s.agent.happened(libvirt.Event{Kind: libvirt.EventRebooted, UUID: vmtest.UID})
	if n := len(s.told()); n != 1 {
		t.Errorf("one an hour later was told %d times", n)
	}
	s.agent.untell(vmtest.UID)
	if len(s.agent.telling) != 0 {
		t.Error("it is remembered when the domain is gone")
	}
}
