package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// How it is remembered what was tried of changing the devices of a guest that runs,
// its disks and its cards.

const (
	// PlugGrace is how long a change of devices may take before that is said: most are
	// made in less, and saying it is a write.
	PlugGrace = 4 * time.Second
	// A guest that was asked to give a device up is looked at each Settle for
	// unplugGlance, although its answer is an event.
	unplugGlance = 10 * time.Second
	// FirstUnplug is after which time it is asked again, doubling up to lastUnplug:
	// Linux takes 5 s for a PCI Express port, and one that boots does not hear it.
	FirstUnplug = 20 * time.Second
	lastUnplug  = 10 * time.Minute
)

// Plugging is what is remembered of the changes of a guest's devices of one kind:
// since when there are any, and what was tried of each, by what tells them apart.
type Plugging[K comparable] struct {
	since time.Time
	tries map[K]plugTry
}

type plugTry struct {
	// tries are those so far, at is when the last was, and next when another is due.
	tries    int
	at, next time.Time
	// failure is why the last failed; none of a guest that was asked to give a device
	// up. unsupported says that there is no other way but to start the guest anew.
	failure     Failure
	unsupported bool
}

// See forgets what is not to be done any more: changes are those that are, and waits
// says how many others wait for something.
func (p *Plugging[K]) See(changes []K, waits int, now time.Time) {
	if len(changes)+waits == 0 {
		*p = Plugging[K]{}
		return
	}
	if p.since.IsZero() {
		p.since = now
	}
	kept := map[K]plugTry{}
	for _, key := range changes {
		if try, was := p.tries[key]; was {
			kept[key] = try
		}
	}
	p.tries = kept
}

// Asked notes that the guest was asked to give a device up.
func (p *Plugging[K]) Asked(key K, now time.Time) {
	p.note(key, now, FirstUnplug, lastUnplug, Failure{}, false)
}

// Failed notes that a change failed.
func (p *Plugging[K]) Failed(key K, now time.Time, f Failure, unsupported bool) {
	p.note(key, now, FirstBackoff, LastBackoff, f, unsupported)
}

func (p *Plugging[K]) note(key K, now time.Time, first, last time.Duration, f Failure, unsupported bool) {
	if p.tries == nil {
		p.tries = map[K]plugTry{}
	}
	tries := p.tries[key].tries
	p.tries[key] = plugTry{tries: tries + 1, at: now, next: now.Add(min(first<<min(tries, 10), last)), failure: f, unsupported: unsupported}
}

// due is the place of the change that is to be made now; negative when none is, and
// when to look again then, 0 for when something is heard. detaches says of a place
// whether the guest is to give the device up.
func (p *Plugging[K]) due(changes []K, detaches func(int) bool, waits int, now time.Time) (at int, again time.Duration) {
	for i, key := range changes {
		try, tried := p.tries[key]
		left := try.next.Sub(now)
		if !tried || left <= 0 {
			return i, 0
		}
		if detaches(i) && now.Sub(try.at) < unplugGlance {
			left = Settle
		}
		again = sooner(again, left)
	}
	if len(changes)+waits > 0 {
		if left := p.since.Add(PlugGrace).Sub(now); left > 0 {
			again = sooner(again, left)
		}
	}
	return -1, again
}

// sooner is the lesser of two times to look again, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// markPending says in the status, by a condition, that devices are to change since then
// and have not, once that has lasted; an empty reason says that none are.
func markPending(status *v1alpha1.VirtualMachineStatus, in Situation, condition string, since time.Time, reason, message string) {
	switch {
	case reason == "":
		meta.RemoveStatusCondition(&status.Conditions, condition)
		return
	case in.Now.Sub(since) < PlugGrace:
		return
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: condition, Status: metav1.ConditionTrue, Reason: reason, Message: message,
		ObservedGeneration: in.VM.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	})
}
