package podless

import (
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	begin := time.Unix(1e9, 0)
	r := func(verdict, substance string) *Reason { return &Reason{Verdict: verdict, Substance: substance} }
	// after is what is told after the VM has waited so long.
	after := func(waited time.Duration, changes int) told {
		return told{since: begin, at: begin.Add(waited), substance: "a", changes: changes}
	}
	for name, test := range map[string]struct {
		told   told
		reason *Reason
		// later is how long after the last words.
		later time.Duration
		want  bool
	}{
		"the first":                             {told{since: begin}, r("", "a"), 0, true},
		"numbers at once":                       {after(0, 0), r("", "a"), 0, false},
		"numbers before a minute":               {after(0, 0), r("", "a"), time.Minute - 1, false},
		"numbers after a minute":                {after(0, 0), r("", "a"), time.Minute, true},
		"numbers after an hour, too early":      {after(time.Hour, 0), r("", "a"), 30*time.Minute - 1, false},
		"numbers after an hour":                 {after(time.Hour, 0), r("", "a"), 30 * time.Minute, true},
		"numbers after ten minutes, too early":  {after(10*time.Minute, 0), r("", "a"), 5*time.Minute - 1, false},
		"numbers after ten minutes":             {after(10*time.Minute, 0), r("", "a"), 5 * time.Minute, true},
		"numbers after a week":                  {after(7*24*time.Hour, 0), r("", "a"), 30 * time.Minute, true},
		"another substance at once":             {after(0, 0), r("", "b"), 0, true},
		"the third change at once":              {after(time.Second, 2), r("", "b"), 0, true},
		"the fourth change, too early":          {after(time.Second, 3), r("", "b"), 10*time.Second - 1, false},
		"the fourth change":                     {after(time.Second, 3), r("", "b"), 10 * time.Second, true},
		"another change after an hour, early":   {after(time.Hour, 9), r("", "b"), 10*time.Minute - 1, false},
		"another change after an hour":          {after(time.Hour, 9), r("", "b"), 10 * time.Minute, true},
		"a verdict at once, whatever was said":  {after(time.Hour, 9), r("never", "b"), 0, true},
		"a verdict alone":                       {after(time.Hour, 9), r("never", "a"), 0, true},
		"the same substance with other changes": {after(time.Second, 9), r("", "a"), 30 * time.Second, false},
	} {
		if got := test.told.due(test.reason, test.told.at.Add(test.later)); got != test.want {
			t.Errorf("%s: due is %t", name, got)
		}
	}
}

// However often a VM is tried, and whatever changes each time, the words are
// made a few times in an hour and then less often still.
func TestHowOftenWordsAreMade(t *testing.T) {
	for name, test := range map[string]struct {
		substances []string
		// minute, hour and day are the most there may be in the first of each.
		minute, hour, day int
	}{
		"numbers":   {[]string{"a"}, 1, 12, 60},
		"substance": {[]string{"a", "b"}, 8, 24, 170},
		"all":       {[]string{"a", "b", "b", "c", "d", "a", "e"}, 8, 24, 170},
	} {
		begin := time.Unix(1e9, 0)
		said := told{since: begin}
		var made []time.Duration
		for n, passed := 0, time.Duration(0); passed < 24*time.Hour; n, passed = n+1, passed+time.Second {
			r := &Reason{Substance: test.substances[n%len(test.substances)]}
			if said.due(r, begin.Add(passed)) {
				said.tell(r, begin.Add(passed))
				made = append(made, passed)
			}
		}
		within := func(most time.Duration) (n int) {
			for n < len(made) && made[n] < most {
				n++
			}
			return n
		}
		minute, hour, day := within(time.Minute), within(time.Hour), within(24*time.Hour)
		t.Logf("%s: %d in a minute, %d in an hour, %d in a day", name, minute, hour, day)
		if minute > test.minute || hour > test.hour || day > test.day {
			t.Errorf("%s: %d in a minute, %d in an hour, %d in a day", name, minute, hour, day)
		}
		if made[0] != 0 || day < 24 {
			t.Errorf("%s: %d in a day, first after %s: they grow old", name, day, made[0])
		}
	}
}
