package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/cardplug"
	"domus.dev/domus/pkg/executor/ownership"
)

// CardKey is a change of a guest's cards.
type CardKey struct {
	Action cardplug.Action
	Name   string
}

// CardKeys are the changes' keys, and how many others wait.
func CardKeys(c *cardplug.Comparison) (keys []CardKey, waits int) {
	if c == nil {
		return nil, 0
	}
	for _, change := range c.Changes {
		keys = append(keys, CardKey{Action: change.Action, Name: change.Name})
	}
	return keys, len(c.Waits)
}

// DueCard is the change that is to be made now; nil when none is, and when to look
// again then, 0 for when something is heard.
func DueCard(in Situation) (*cardplug.Change, time.Duration) {
	keys, waits := CardKeys(in.Cards)
	at, again := in.Memory.Cards.due(keys, func(i int) bool { return keys[i].Action == cardplug.Detach }, waits, in.Now)
	if at >= 0 {
		return &in.Cards.Changes[at], 0
	}
	if waits > 0 {
		again = sooner(again, AskAgain)
	}
	return nil, again
}

// replug brings the cards of a guest that runs to what spec.interfaces says; nil when
// there is nothing to do now, and when to look again.
func replug(in Situation) (*Decision, time.Duration) {
	change, again := DueCard(in)
	switch {
	case change != nil:
		return &Decision{Steps: []Step{StepPlugCard}, Again: true}, 0
	case in.Cards != nil && len(in.Cards.Taken) > 0:
		return &Decision{Steps: []Step{StepTakeCards}, Again: true}, 0
	}
	return nil, again
}

// ComparesCards says whether the cards of the VM's guest are to be compared with its
// spec: it was made of another, as its mark says.
func ComparesCards(vm *v1alpha1.VirtualMachine, d *ownership.Observed) bool {
	if d == nil || !d.Owned || !d.State.Active() || d.Ownership.Owner != vm.Owner() || d.Ownership.Generation == vm.Generation {
		return false
	}
	changed, known := d.Ownership.Spec.Changed(&vm.Spec)
	return known && slices.ContainsFunc(changed, func(field string) bool {
		_, is := convert.InterfaceOfField(field)
		return is
	})
}

// cardLive says whether the field is a card that comes or goes without a restart.
func cardLive(in Situation, field string) bool {
	name, is := convert.InterfaceOfField(field)
	if !is || in.Cards == nil || !in.Cards.Concerns(name) {
		return false
	}
	for key, try := range in.Memory.Cards.tries {
		if key.Name == name && try.unsupported {
			return false
		}
	}
	return true
}

// cardsPending is why cards of the guest are not as they are to be; empty when they
// are, or only a start will do.
func cardsPending(in Situation) (reason, message string) {
	if in.Cards == nil {
		return "", ""
	}
	var words []string
	say := func(why, text string) {
		if reason == "" || why == v1alpha1.ReasonInterfacePlugFailed {
			reason = why
		}
		words = append(words, text)
	}
	for _, c := range in.Cards.Changes {
		try, tried := in.Memory.Cards.tries[CardKey{Action: c.Action, Name: c.Name}]
		switch {
		case try.unsupported:
		case try.failure.Reason != "":
			say(try.failure.Reason, try.failure.Message)
		case c.Action == cardplug.Detach && tried:
			say(v1alpha1.ReasonInterfaceKept, fmt.Sprintf("the guest was asked to give card %s up and has it still: a guest that boots, or has no driver for that, keeps it until it is asked again or started anew", c.Name))
		default:
			say(v1alpha1.ReasonWaitingForNetworks, fmt.Sprintf("card %s is about to be changed", c.Name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Cards.Waits)) {
		say(v1alpha1.ReasonWaitingForNetworks, in.Cards.Waits[name])
	}
	return reason, strings.Join(words, "; ")
}

// markCards says in the status which cards of spec.interfaces the guest has, with the
// addresses that were seen on them, and that some are to change and have not, once
// that has lasted.
func markCards(status *v1alpha1.VirtualMachineStatus, in Situation, state v1alpha1.HostState) {
	switch state {
	case v1alpha1.HostRunning, v1alpha1.HostPaused, v1alpha1.HostStopping:
		status.Interfaces = CardsOf(in, status.Guest, status.Interfaces)
		nameAddresses(status)
	default:
		status.Interfaces = nil
	}
	reason, message := cardsPending(in)
	markPending(status, in, v1alpha1.ConditionInterfacesPending, in.Memory.Cards.since, reason, message)
}

// CardsOf are the cards of spec.interfaces that the guest has. An address that was
// seen stays while nothing else is: leases end, and ARP forgets.
func CardsOf(in Situation, guest *v1alpha1.GuestStatus, before []v1alpha1.InterfaceStatus) (out []v1alpha1.InterfaceStatus) {
	if in.Domain == nil || !in.Domain.Owned {
		return nil
	}
	for _, c := range in.Domain.Cards {
		name, ours := convert.CardOfAlias(c.Alias)
		at := slices.IndexFunc(in.VM.Spec.Interfaces, func(i v1alpha1.VirtualMachineInterface) bool { return i.Name == name })
		if !ours || at < 0 {
			continue
		}
		card := v1alpha1.InterfaceStatus{Name: name, NetworkName: in.VM.Spec.Interfaces[at].NetworkName, MACAddress: c.MAC}
		addresses := slices.Clone(in.Addresses[c.MAC])
		if guest != nil {
			for _, g := range guest.Interfaces {
				if g.MAC == c.MAC {
					addresses = append(addresses, g.Addresses...)
				}
			}
		}
		var had []string
		for _, b := range before {
			if b.Name == card.Name && b.MACAddress == card.MACAddress {
				had = b.Assigned
			}
		}
		if assigned, told := in.Assigned[name]; told {
			card.Assigned = taken(assigned, slices.Concat(addresses, had))
			addresses = append(addresses, assigned...)
		} else {
			card.Assigned = had
			addresses = append(addresses, had...)
		}
		if made, known := in.Networks.Cards[name]; known {
			for _, a := range made.Addresses {
				address, _, _ := strings.Cut(a, "/")
				addresses = append(addresses, address)
			}
		}
		if card.Addresses = Known(addresses); len(card.Addresses) == 0 {
			for _, b := range before {
				if b.Name == card.Name && b.MACAddress == card.MACAddress {
					card.Addresses = b.Addresses
				}
			}
		}
		out = append(out, card)
	}
	return out
}

// taken are those of the addresses that plugins gave which the guest has: of IPv4 it
// is told by DHCP, and of IPv6 by nobody, so these count once they were seen on it.
func taken(assigned, seen []string) (out []string) {
	there := Known(seen)
	for _, text := range assigned {
		a, err := netip.ParseAddr(text)
		if err == nil && (a.Is4() || slices.Contains(there, a.String())) {
			out = append(out, text)
		}
	}
	return out
}

// Known are the texts that are addresses, each once, in order.
func Known(texts []string) (out []string) {
	addresses, _ := guestAddresses(texts, maxInterfaceAddresses)
	for _, a := range addresses {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return out
}

// nameAddresses has status.guest.addresses, which kubectl shows, name what was seen
// on cards of a guest whose agent says nothing.
func nameAddresses(status *v1alpha1.VirtualMachineStatus) {
	if status.Guest != nil && len(status.Guest.Interfaces) > 0 {
		return
	}
	var texts []string
	for _, i := range status.Interfaces {
		texts = append(texts, i.Addresses...)
	}
	var summary []string
	addresses, _ := guestAddresses(texts, maxGuestAddresses)
	for _, a := range addresses {
		if !a.IsLinkLocalUnicast() {
			summary = append(summary, a.String())
		}
	}
	if len(summary) == 0 {
		return
	}
	if status.Guest == nil {
		status.Guest = &v1alpha1.GuestStatus{}
	}
	status.Guest.Addresses = oneLine(summary)
}
