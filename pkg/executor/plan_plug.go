package executor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hotplug"
)

const (
	// plugGrace is how long a change of disks may take before that is said: most are
	// made in less, and saying it is a write.
	plugGrace = 4 * time.Second
	// A guest that was asked to give a disk up is looked at each settle for
	// unplugGlance, although its answer is an event, and asked again after
	// firstUnplug, doubling up to lastUnplug: Linux takes 5 s for a PCI Express
	// port, and one that boots does not hear it.
	unplugGlance = 10 * time.Second
	firstUnplug  = 20 * time.Second
	lastUnplug   = 10 * time.Minute
)

// plugKey is a change of a guest's disks, and plugTry what was tried of it.
type plugKey struct {
	action     hotplug.Action
	name, disk string
}

type plugTry struct {
	// tries are those so far, at is when the last was, and next when another is due.
	tries    int
	at, next time.Time
	// failure is why the last failed; none of a guest that was asked to give a disk
	// up. unsupported says that there is no other way but to start the guest anew.
	failure     Failure
	unsupported bool
}

func keyOf(c hotplug.Change) plugKey {
	return plugKey{action: c.Action, name: c.Name, disk: c.DiskName}
}

// Plugging is what is remembered of the changes of a guest's disks: since when there
// are any, and what was tried.
type Plugging struct {
	since time.Time
	tries map[plugKey]plugTry
}

// see forgets what is not to be done any more.
func (p *Plugging) see(c *hotplug.Comparison, now time.Time) {
	if c == nil || len(c.Changes)+len(c.Waits) == 0 {
		*p = Plugging{}
		return
	}
	if p.since.IsZero() {
		p.since = now
	}
	kept := map[plugKey]plugTry{}
	for _, change := range c.Changes {
		if try, was := p.tries[keyOf(change)]; was {
			kept[keyOf(change)] = try
		}
	}
	p.tries = kept
}

// asked notes that the guest was asked to give a disk up, and failed that a change
// failed.
func (p *Plugging) asked(c hotplug.Change, now time.Time) {
	p.note(c, now, firstUnplug, lastUnplug, Failure{}, false)
}

func (p *Plugging) failed(c hotplug.Change, now time.Time, f Failure, unsupported bool) {
	p.note(c, now, firstBackoff, lastBackoff, f, unsupported)
}

func (p *Plugging) note(c hotplug.Change, now time.Time, first, last time.Duration, f Failure, unsupported bool) {
	if p.tries == nil {
		p.tries = map[plugKey]plugTry{}
	}
	try := p.tries[keyOf(c)]
	wait := min(first<<min(try.tries, 10), last)
	p.tries[keyOf(c)] = plugTry{tries: try.tries + 1, at: now, next: now.Add(wait), failure: f, unsupported: unsupported}
}

// dueChange is the change that is to be made now; nil when none is, and when to look
// again then, 0 for when something is heard.
func dueChange(in Situation) (*hotplug.Change, time.Duration) {
	if in.Plug == nil {
		return nil, 0
	}
	var again time.Duration
	for i := range in.Plug.Changes {
		c := &in.Plug.Changes[i]
		try, tried := in.Memory.Plugging.tries[keyOf(*c)]
		left := try.next.Sub(in.Now)
		if !tried || left <= 0 {
			return c, 0
		}
		if c.Action == hotplug.Detach && in.Now.Sub(try.at) < unplugGlance {
			left = settle
		}
		again = sooner(again, left)
	}
	if len(in.Plug.Changes)+len(in.Plug.Waits) > 0 {
		if left := in.Memory.Plugging.since.Add(plugGrace).Sub(in.Now); left > 0 {
			again = sooner(again, left)
		}
	}
	return nil, again
}

// sooner is the lesser of two times to look again, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// plug brings the disks of a guest that runs to what spec.disks says; nil when there
// is nothing to do now, and when to look again.
func plug(in Situation) (*Decision, time.Duration) {
	change, again := dueChange(in)
	switch {
	case change != nil:
		return &Decision{Steps: []Step{StepPlug}, Again: true}, 0
	case in.Plug != nil && in.Plug.Same() && outdated(in):
		return &Decision{Steps: []Step{StepTakeDisks}, Again: true}, 0
	}
	return nil, again
}

// outdated says whether the mark of a guest that has the disks of the spec is to say
// so: it records others, or nothing but an edit that was taken back.
func outdated(in Situation) bool {
	mark := in.Domain.Ownership
	changed, _ := mark.Spec.Changed(&in.VM.Spec)
	return slices.Contains(changed, disksField) || len(changed) == 0 && mark.Generation != in.VM.Generation
}

// comparesDisks says whether the disks of the VM's guest are to be compared with its
// spec: that has been edited since the mark was written, or the guest has not the
// disks of their names. It may have given one up for which it was asked before that
// was taken back.
func comparesDisks(vm *v1alpha1.VirtualMachine, d *Observed) bool {
	if d == nil || !d.Owned || !d.State.Active() || d.Ownership.Owner != vm.Owner() {
		return false
	}
	if _, known := d.Ownership.Spec.Changed(&vm.Spec); !known {
		return false
	}
	if d.Ownership.Generation != vm.Generation {
		return len(vm.Spec.Disks) > 0 || len(hotplug.Has(d.Disks)) > 0 || recordsDisks(vm, d)
	}
	has := hotplug.Has(d.Disks)
	missing := func(entry v1alpha1.VirtualMachineDisk) bool {
		return !slices.ContainsFunc(has, func(g v1alpha1.GuestDisk) bool { return g.Name == entry.Name })
	}
	return len(has) != len(vm.Spec.Disks) || slices.ContainsFunc(vm.Spec.Disks, missing)
}

// recordsDisks says whether the mark records other disks than the spec has.
func recordsDisks(vm *v1alpha1.VirtualMachine, d *Observed) bool {
	changed, _ := d.Ownership.Spec.Changed(&vm.Spec)
	return slices.Contains(changed, disksField)
}

// disksField is how a mark's record names spec.disks.
const disksField = "spec.disks"

// disksAtStart are the fields of spec.disks that take effect at the next start, in
// place of spec.disks itself, and whether the VM is placed anew for one of them.
func disksAtStart(in Situation) (fields []string, placedAnew bool) {
	if in.Plug == nil {
		return []string{disksField}, false
	}
	named := func(field, why string) string {
		if why == "" {
			return field
		}
		return field + " (" + why + ")"
	}
	for _, r := range in.Plug.Restart {
		fields = append(fields, named(r.Field, r.Why))
		placedAnew = placedAnew || r.Elsewhere
	}
	for _, c := range in.Plug.Changes {
		if try, tried := in.Memory.Plugging.tries[keyOf(c)]; tried && try.failure.Reason == v1alpha1.ReasonHotPlugFailed {
			fields = append(fields, named("spec.disks["+c.Name+"]", try.failure.Message))
		}
	}
	return fields, placedAnew
}

// markDisks says in the status that disks of the running guest are to change and
// have not, once that has lasted.
func markDisks(status *v1alpha1.VirtualMachineStatus, in Situation) {
	reason, message := disksPending(in)
	switch {
	case reason == "":
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionDisksPending)
		return
	case in.Now.Sub(in.Memory.Plugging.since) < plugGrace:
		return
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionDisksPending, Status: metav1.ConditionTrue, Reason: reason, Message: message,
		ObservedGeneration: in.VM.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	})
}

// disksPending is why disks of the guest are not as they are to be, and how they
// will be; empty when they are, or only a start will do.
func disksPending(in Situation) (reason, message string) {
	if in.Plug == nil {
		return "", ""
	}
	var words []string
	say := func(why, format string, args ...any) {
		if reason == "" || why == v1alpha1.ReasonHotPlugFailed || why == v1alpha1.ReasonWaitingForGuest && reason == v1alpha1.ReasonWaitingForDisks {
			reason = why
		}
		words = append(words, fmt.Sprintf(format, args...))
	}
	for _, c := range in.Plug.Changes {
		try, tried := in.Memory.Plugging.tries[keyOf(c)]
		switch {
		case try.unsupported:
		case try.failure.Reason != "":
			say(try.failure.Reason, "%s", try.failure.Message)
		case c.Action == hotplug.Detach && tried:
			say(v1alpha1.ReasonWaitingForGuest, "the guest was asked to give up %s and has it still: see that nothing uses it there; a guest that has no driver for that keeps it until it is started anew", diskWords(c))
		default:
			say(v1alpha1.ReasonWaitingForDisks, "%s is about to be changed", diskWords(c))
		}
	}
	for _, w := range in.Plug.Waits {
		say(v1alpha1.ReasonWaitingForDisks, "%s", w.Why)
	}
	return reason, strings.Join(words, "; ")
}

// diskWords names the disk of a change.
func diskWords(c hotplug.Change) string {
	if c.DiskName == "" {
		return "disk " + c.Name
	}
	return fmt.Sprintf("disk %s (VirtualDisk %s)", c.Name, c.DiskName)
}

// giveBack adds to a decision that the VM's claims to disks are given back which it
// does not name any more and its guest has not.
func giveBack(in Situation, decision Decision) Decision {
	if len(in.Idle) == 0 || len(decision.Steps) > 0 || decision.Quarantine != "" {
		return decision
	}
	return Decision{Steps: []Step{StepGiveBack}, Again: true}
}
