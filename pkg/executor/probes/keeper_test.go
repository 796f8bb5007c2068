package probes

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func target(life int, change ...func(*v1alpha1.ReadinessProbe)) Target {
	t := Target{Life: life, Started: now, Address: netip.MustParseAddr("10.1.0.5"), Port: 80, Probe: v1alpha1.ReadinessProbe{TCPSocket: &v1alpha1.TCPSocketProbe{}}}
	for _, c := range change {
		c(&t.Probe)
	}
	return t
}

func none(time.Duration) time.Duration { return 0 }

// A guest's results, one a period: + is success, and a letter is a failure of that name.
// The verdicts are those after each.
func TestVerdicts(t *testing.T) {
	for name, test := range map[string]struct {
		probe         func(*v1alpha1.ReadinessProbe)
		results, want string
	}{
		"one success is enough":              {nil, "+", "S"},
		"three failures are, by default":     {nil, "+aa+aaa", "SSSSSSF"},
		"a guest that boots waits":           {nil, "aa+", "PPS"},
		"and fails after a while":            {nil, "aaaa+", "PPFFS"},
		"successes in a row are asked for":   {func(p *v1alpha1.ReadinessProbe) { p.SuccessThreshold = 2 }, "+a++a+a++", "PPPSSSSSS"},
		"one failure is enough, where asked": {func(p *v1alpha1.ReadinessProbe) { p.FailureThreshold = 1 }, "+a+", "SFS"},
	} {
		t.Run(name, func(t *testing.T) {
			trial, at := newTrial(), now
			if test.probe == nil {
				test.probe = func(*v1alpha1.ReadinessProbe) {}
			}
			trial.observe(target(1, test.probe), at, none)
			got := ""
			for i := range len(test.results) {
				number, due := trial.begin(at)
				if !due {
					t.Fatalf("probe %d is not due", i)
				}
				failure := test.results[i : i+1]
				if failure == "+" {
					failure = ""
				}
				trial.end(number, failure, at)
				got += map[Verdict]string{Pending: "P", Serves: "S", Fails: "F", Unreachable: "U"}[trial.view.Verdict]
				if _, early := trial.begin(at.Add(defaultPeriod - time.Millisecond)); early {
					t.Fatal("the next is due before a period has passed")
				}
				at = at.Add(defaultPeriod)
			}
			if got != test.want {
				t.Errorf("%s: %s, want %s", test.results, got, test.want)
			}
		})
	}
}

func TestWhatStandsWhenTheGuestChanges(t *testing.T) {
	once := func(trial *trial, failure string, at time.Time) {
		t.Helper()
		number, due := trial.begin(at)
		if !due {
			t.Fatal("no probe is due")
		}
		trial.end(number, failure, at)
	}
	trial := newTrial()
	delayed := func(p *v1alpha1.ReadinessProbe) { p.InitialDelaySeconds, p.FailureThreshold = 5, 1 }
	trial.observe(target(1, delayed), now, none)
	if _, due := trial.begin(now.Add(4 * time.Second)); due {
		t.Error("probed before initialDelaySeconds")
	}
	once(trial, "", now.Add(5*time.Second))

	// Its address changes: what was found out stands until the other says otherwise.
	moved := target(1, delayed)
	moved.Address = netip.MustParseAddr("10.1.0.6")
	late := now.Add(20 * time.Second)
	trial.observe(moved, late, none)
	if trial.view.Verdict != Serves {
		t.Errorf("another address: %v", trial.view)
	}
	// What comes of a probe of the old one is nothing.
	number, _ := trial.begin(late)
	trial.observe(target(1, delayed), late, none)
	if trial.end(number, "refused", late); trial.view.Verdict != Serves {
		t.Errorf("the old one's answer: %v", trial.view)
	}
	once(trial, "refused", late)
	if want := (View{Fails, "refused"}); trial.view != want {
		t.Errorf("it fails: %v", trial.view)
	}
	// Another guest is another matter, and one without an address too.
	trial.observe(target(2, delayed), late, none)
	if trial.view != (View{}) {
		t.Errorf("another guest: %v", trial.view)
	}
	lost := target(2, delayed)
	lost.Problem = "no address"
	trial.observe(lost, late, none)
	if want := (View{Unreachable, "no address"}); trial.view != want || !trial.due.IsZero() {
		t.Errorf("no address: %v, due %s", trial.view, trial.due)
	}
	trial.observe(target(2, delayed), late, none)
	if trial.view != (View{}) || trial.due.IsZero() {
		t.Errorf("an address again: %v, due %s", trial.view, trial.due)
	}
}

// A guest that flaps, or fails in ever new words, does not have the API server written
// to each time.
func TestWritesAreBounded(t *testing.T) {
	quick := func(p *v1alpha1.ReadinessProbe) { p.PeriodSeconds, p.FailureThreshold = 1, 1 }
	for name, fails := range map[string]func(i int) string{
		"flaps":      func(i int) string { return []string{"", "refused"}[i%2] },
		"many words": func(i int) string { return string(rune('a' + i%26)) },
	} {
		trial, changes := newTrial(), 0
		trial.observe(target(1, quick), now, none)
		const seconds = 600
		for i := range seconds {
			at := now.Add(time.Duration(i) * time.Second)
			number, _ := trial.begin(at)
			if trial.end(number, fails(i), at) {
				changes++
			}
		}
		if limit := 2*(serveBurst+seconds/60) + 1; changes > limit || changes < 10 {
			t.Errorf("%s: %d changes in %d probes", name, changes, seconds)
		}
	}
}

type maker func(ctx context.Context, t Target) string

func (m maker) Probe(ctx context.Context, t Target, _ time.Duration) string { return m(ctx, t) }

// Guests that hang hold up each other, and no others, and are not more than a bound.
func TestGuestsThatHangHoldUpNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	hanging, most := 0, 0
	changed := make(chan types.NamespacedName, 1000)
	made := maker(func(ctx context.Context, t Target) string {
		if t.Port != 666 {
			return ""
		}
		mu.Lock()
		hanging++
		most = max(most, hanging)
		mu.Unlock()
		<-ctx.Done()
		return "hung"
	})
	k := New("test", made, clock.RealClock{}, func(vm types.NamespacedName) { changed <- vm })
	quick := func(p *v1alpha1.ReadinessProbe) { p.PeriodSeconds = 1 }
	well := types.NamespacedName{Name: "well"}
	ended := make(chan struct{})
	go func() { k.Run(ctx); close(ended) }()
	here := target(1, quick)
	here.Started = time.Now()
	k.Observe(well, &here, time.Now())
	select {
	case vm := <-changed:
		if got := k.Observe(vm, &here, time.Now()); vm != well || got.Verdict != Serves {
			t.Fatalf("%s: %v", vm, got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a guest was not probed")
	}
	for i := range 3 * maxDoubtful {
		bad := here
		bad.Port = 666
		k.Observe(types.NamespacedName{Name: string(rune('a'+i%26)) + string(rune('a'+i/26))}, &bad, time.Now())
	}
	// It is probed on: its next results are its own.
	count := func() int {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.trials[well].row
	}
	deadline := time.Now().Add(20 * time.Second)
	for start := count(); count() < start+2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a guest that serves waits for those that hang")
		}
	}
	k.Forget(well)
	if _, there := k.trials[well]; there {
		t.Error("it is not forgotten")
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	if most > maxDoubtful || most == 0 {
		t.Errorf("%d were probed at once", most)
	}
}
