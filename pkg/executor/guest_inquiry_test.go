package executor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// calm leaves times as they are.
func calm(d time.Duration) time.Duration { return d }

func guestOf(life int, state libvirt.State, channel libvirt.AgentState) libvirt.Domain {
	return libvirt.Domain{UUID: vmtest.UID, ID: life, State: state, Agent: channel}
}

var (
	nameless = &v1alpha1.GuestStatus{Hostname: "web-1"}
	reached  = &v1alpha1.GuestStatus{Hostname: "web-1", Addresses: "10.0.2.15"}
)

func TestAnAgentIsAskedAtOnceThenSoonWhileThereIsNoAddressThenSeldom(t *testing.T) {
	q := newInquiry(guestKey)
	now := vmtest.Now
	q.observe(guestOf(1, libvirt.StateRunning, libvirt.AgentClosed), now)
	if !q.due.IsZero() {
		t.Fatalf("a closed channel is asked at %s", q.due)
	}
	q.observe(guestOf(1, libvirt.StateRunning, libvirt.AgentOpen), now)
	var waits []time.Duration
	answer := func(said *v1alpha1.GuestStatus) bool {
		waits = append(waits, q.due.Sub(now))
		now = q.due
		if !q.begin(now) {
			t.Fatal("it is not asked when it is due")
		}
		return q.answered(said, now, calm)
	}
	var changes []bool
	for range 11 {
		changes = append(changes, answer(nameless))
	}
	changes = append(changes, answer(reached), answer(reached), answer(reached))
	s := time.Second
	if diff := cmp.Diff([]time.Duration{0, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 30 * s, 30 * s, askEvery, askEvery, askEvery, 30 * s, askEvery}, waits); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]bool{true, false, false, false, false, false, false, false, false, false, false, true, false, false}, changes); diff != "" {
		t.Errorf("what is reported: %s", diff)
	}
	// Another guest in its place is asked at once, and what this one said is gone.
	q.observe(guestOf(2, libvirt.StateRunning, libvirt.AgentOpen), now)
	if q.due != now || q.view(now) != (plan.GuestView{Channel: libvirt.AgentOpen}) {
		t.Errorf("due in %s, %+v", q.due.Sub(now), q.view(now))
	}
}

func TestAnAgentThatDoesNotAnswerIsAskedEverLess(t *testing.T) {
	q := newInquiry(guestKey)
	now := vmtest.Now
	q.observe(guestOf(1, libvirt.StateRunning, libvirt.AgentOpen), now)
	q.begin(now)
	q.answered(reached, now, calm)
	var waits []time.Duration
	var changes []bool
	for range 8 {
		now = q.due
		if !q.begin(now) {
			t.Fatal("it is not asked when it is due")
		}
		changes = append(changes, q.failed(libvirt.ErrAgentSilent, now))
		waits = append(waits, q.due.Sub(now))
		if v := q.view(now); v.Said != reached || (v.Voice == plan.VoiceSilent) != (len(waits) >= silentAfter) {
			t.Errorf("after %d failures: %+v", len(waits), v)
		}
	}
	s := time.Second
	if diff := cmp.Diff([]time.Duration{10 * s, 20 * s, 40 * s, 80 * s, 160 * s, askEvery, askEvery, askEvery}, waits); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]bool{false, true, false, false, false, false, false, false}, changes); diff != "" {
		t.Error(diff)
	}
	if !q.answered(reached, now, calm) || q.view(now).Voice != plan.VoiceAnswers {
		t.Error("that it answers again is not reported")
	}
	// A libvirt that is away says nothing of the agent.
	for range 5 {
		if q.failed(libvirt.ErrUnavailable, now) || q.view(now).Voice != plan.VoiceAnswers {
			t.Fatal("libvirt's silence is taken for the agent's")
		}
	}
}

func TestAGuestThatStandsStillIsNotAsked(t *testing.T) {
	q := newInquiry(guestKey)
	q.observe(guestOf(1, libvirt.StateRunning, libvirt.AgentOpen), vmtest.Now)
	q.observe(guestOf(1, libvirt.StatePaused, libvirt.AgentOpen), vmtest.Now)
	if q.begin(vmtest.Now.Add(time.Hour)) {
		t.Error("a paused guest is asked")
	}
	q.observe(guestOf(1, libvirt.StateRunning, libvirt.AgentOpen), vmtest.Now.Add(time.Hour))
	if !q.begin(vmtest.Now.Add(time.Hour)) {
		t.Error("a guest that goes on is not asked")
	}
}

// A guest may open and close its channel as often as it likes, and say something
// else each time.
func TestAGuestCannotHaveItselfAskedWithoutEnd(t *testing.T) {
	q := newInquiry(guestKey)
	const hours = 3
	asked, life := 0, 1
	for now := vmtest.Now; now.Before(vmtest.Now.Add(hours * time.Hour)); now = now.Add(time.Second) {
		switch now.Unix() % 3 {
		case 0:
			q.observe(guestOf(life, libvirt.StateRunning, libvirt.AgentClosed), now)
		case 1:
			life += int(now.Unix() % 2) // and it restarts, too
			q.observe(guestOf(life, libvirt.StateRunning, libvirt.AgentOpen), now)
		}
		if q.begin(now) {
			asked++
			q.answered(&v1alpha1.GuestStatus{Hostname: now.String()}, now, calm)
		}
	}
	if most := askBurst + hours*60; asked > most || asked < most/2 {
		t.Errorf("it was asked %d times in %d hours, at most %d are allowed", asked, hours, most)
	}
}
