package reachability

import (
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestAHostThatComesAndGoes has a host be away and there by turns, and counts how
// often that is said in two hours, by looks at each second.
func TestAHostThatComesAndGoes(t *testing.T) {
	for name, test := range map[string]struct {
		away, there time.Duration
		most, least int
	}{
		"for moments":          {10 * time.Second, 10 * time.Second, 0, 0},
		"for a minute":         {time.Minute, time.Minute, 6, 4},
		"for five minutes":     {5 * time.Minute, time.Minute, 11, 8},
		"for a quarter":        {15 * time.Minute, time.Minute, 8, 7},
		"seldom and for short": {time.Minute, time.Hour, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := &patience{}
			told := 0
			for at := time.Duration(0); at < 2*time.Hour; at += time.Second {
				cycle := at / (test.away + test.there) * (test.away + test.there)
				now := start.Add(at)
				if at-cycle >= test.away {
					p.present("a", now)
					continue
				}
				if p.left("a", start.Add(cycle), now) <= 0 {
					if !p.hosts["a"].told {
						told++
					}
					p.tell("a", now)
				}
			}
			if told > test.most || told < test.least {
				t.Errorf("said %d times, want %d to %d", told, test.least, test.most)
			}
		})
	}
}

func TestAnAbsenceHasToLast(t *testing.T) {
	p := &patience{}
	left := func(after time.Duration) time.Duration {
		return p.left("a", start.Add(-time.Hour), start.Add(after))
	}
	if got := left(0); got != settle {
		t.Errorf("one that a new leader finds is said in %s", got)
	}
	if got := left(settle); got > 0 {
		t.Errorf("one that has lasted is said in %s", got)
	}
	p.anew(start.Add(settle))
	if got := left(settle); got != settle {
		t.Errorf("when the API server is back it is said in %s", got)
	}
	p.tell("a", start.Add(2*settle))
	p.anew(start.Add(2 * settle))
	if got := left(2 * settle); got > 0 {
		t.Errorf("one that is said on some VMs is said on the others in %s", got)
	}
	if got := p.left("a", start.Add(3*settle), start.Add(3*settle)); got != 2*settle {
		t.Errorf("the next one is said in %s", got)
	}
	if got := p.left("b", start.Add(-time.Hour), start.Add(3*settle)); got > 0 {
		t.Errorf("another host's is said in %s", got)
	}
	p.present("a", start.Add(2*remembered))
	if len(p.hosts) != 1 {
		t.Errorf("%d hosts are remembered", len(p.hosts))
	}
}
