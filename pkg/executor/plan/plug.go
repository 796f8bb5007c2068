package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hotplug"
	"domus.dev/domus/pkg/executor/ownership"
)

// PlugKey is a change of a guest's disks.
type PlugKey struct {
	Action     hotplug.Action
	Name, Disk string
}

// KeyOf is the key of a change of the guest's disks.
func KeyOf(c hotplug.Change) PlugKey {
	return PlugKey{Action: c.Action, Name: c.Name, Disk: c.DiskName}
}

// KeysOf are the changes' keys, and how many others wait.
func KeysOf(c *hotplug.Comparison) (keys []PlugKey, waits int) {
	if c == nil {
		return nil, 0
	}
	for _, change := range c.Changes {
		keys = append(keys, KeyOf(change))
	}
	return keys, len(c.Waits)
}

// DueChange is the change that is to be made now; nil when none is, and when to look
// again then, 0 for when something is heard.
func DueChange(in Situation) (*hotplug.Change, time.Duration) {
	keys, waits := KeysOf(in.Plug)
	at, again := in.Memory.Plugging.due(keys, func(i int) bool { return keys[i].Action == hotplug.Detach }, waits, in.Now)
	if at < 0 {
		return nil, again
	}
	return &in.Plug.Changes[at], 0
}

// plug brings the disks of a guest that runs to what spec.disks says; nil when there
// is nothing to do now, and when to look again.
func plug(in Situation) (*Decision, time.Duration) {
	change, again := DueChange(in)
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

// ComparesDisks says whether the disks of the VM's guest are to be compared with its
// spec: that has been edited since the mark was written, or the guest has not the
// disks of their names. It may have given one up for which it was asked before that
// was taken back.
func ComparesDisks(vm *v1alpha1.VirtualMachine, d *ownership.Observed) bool {
	if d == nil || !d.Owned || !d.State.Active() || d.Ownership.Owner != vm.Owner() {
		return false
	}
	if _, known := d.Ownership.Spec.Changed(&vm.Spec); !known {
		return false
	}
	if d.Ownership.Generation != vm.Generation {
		return len(vm.Spec.Disks) > 0 || len(hotplug.Has(d.Disks)) > 0 || RecordsDisks(vm, d)
	}
	has := hotplug.Has(d.Disks)
	missing := func(entry v1alpha1.VirtualMachineDisk) bool {
		return !slices.ContainsFunc(has, func(g v1alpha1.GuestDisk) bool { return g.Name == entry.Name })
	}
	return len(has) != len(vm.Spec.Disks) || slices.ContainsFunc(vm.Spec.Disks, missing)
}

// RecordsDisks says whether the mark records other disks than the spec has.
func RecordsDisks(vm *v1alpha1.VirtualMachine, d *ownership.Observed) bool {
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
		if try, tried := in.Memory.Plugging.tries[KeyOf(c)]; tried && try.failure.Reason == v1alpha1.ReasonHotPlugFailed {
			fields = append(fields, named("spec.disks["+c.Name+"]", try.failure.Message))
		}
	}
	return fields, placedAnew
}

// markDisks says in the status that disks of the running guest are to change and
// have not, once that has lasted.
func markDisks(status *v1alpha1.VirtualMachineStatus, in Situation) {
	reason, message := disksPending(in)
	markPending(status, in, v1alpha1.ConditionDisksPending, in.Memory.Plugging.since, reason, message)
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
		try, tried := in.Memory.Plugging.tries[KeyOf(c)]
		switch {
		case try.unsupported:
		case try.failure.Reason != "":
			say(try.failure.Reason, "%s", try.failure.Message)
		case c.Action == hotplug.Detach && tried:
			say(v1alpha1.ReasonWaitingForGuest, "the guest was asked to give up %s and has it still: see that nothing uses it there; a guest that has no driver for that keeps it until it is started anew", DiskWords(c))
		default:
			say(v1alpha1.ReasonWaitingForDisks, "%s is about to be changed", DiskWords(c))
		}
	}
	for _, w := range in.Plug.Waits {
		say(v1alpha1.ReasonWaitingForDisks, "%s", w.Why)
	}
	return reason, strings.Join(words, "; ")
}

// DiskWords names the disk of a change.
func DiskWords(c hotplug.Change) string {
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
