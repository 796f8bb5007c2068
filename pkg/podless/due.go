package podless

import "time"

// How often the words of a VM that waits are made anew. A VM that never fits is
// tried whenever something happens to a host, so without bounds its condition
// would be written as often.
const (
	// freely is how many changes of substance are told at once; after that they
	// wait their time too.
	freely = 3
	// From and to which time changes of substance are apart then, and those of
	// numbers alone: half the time that the VM has waited, within these bounds.
	substanceAfter, substanceWithin = 10 * time.Second, 10 * time.Minute
	numbersAfter, numbersWithin     = time.Minute, 30 * time.Minute
	// repeatedAfter is when an event is told again although nothing has changed:
	// the API server forgets events after an hour.
	repeatedAfter = 30 * time.Minute
)

// told is what has been told of a VM that waits.
type told struct {
	// since is when it began to wait, at when its words were last made.
	since, at time.Time
	// verdict and substance are of the Reason then.
	verdict, substance string
	// changes counts how often the substance has changed.
	changes int
}

// due says whether words are to be made for the reason, where t has been told.
// What is not due is not lost: the VM is tried again, at the latest by the
// scheduler's last resort.
func (t *told) due(r *Reason, now time.Time) bool {
	switch {
	case t.at.IsZero() || r.Verdict != t.verdict:
		return true
	case r.Substance == t.substance:
		return now.Sub(t.at) >= t.apart(numbersAfter, numbersWithin)
	case t.changes < freely:
		return true
	}
	return now.Sub(t.at) >= t.apart(substanceAfter, substanceWithin)
}

func (t *told) apart(least, most time.Duration) time.Duration {
	return min(max(t.at.Sub(t.since)/2, least), most)
}

// tell notes that words are made for the reason.
func (t *told) tell(r *Reason, now time.Time) {
	if !t.at.IsZero() && r.Substance != t.substance {
		t.changes++
	}
	t.at, t.verdict, t.substance = now, r.Verdict, r.Substance
}
