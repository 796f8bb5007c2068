package cni

import "strings"

// step is one thing to do for a card. Each can be done again.
type step string

const (
	// stepRelease removes all that there may be, and gives the address back.
	stepRelease step = "Release"
	// stepIntend writes down what is about to be done.
	stepIntend step = "Intend"
	// stepSpace makes the VM's network namespace.
	stepSpace step = "Space"
	// stepAdd has the plugins make the card.
	stepAdd step = "Add"
	// stepWire makes tap, veth and what leads frames between them.
	stepWire step = "Wire"
	// stepSettle writes down that all of it is there.
	stepSettle step = "Settle"
	// stepServe answers the guest's questions for its address.
	stepServe step = "Serve"
	// stepStrike strikes the record out, and removes the namespace with the last.
	stepStrike step = "Strike"
)

// situation is what is known of one card.
type situation struct {
	// record is nil when nothing was begun.
	record *record
	// card is nil when the card is not there, as after a reboot of the host.
	card *view
}

// toAttach decides what gives a VM the card a.
func toAttach(a Attachment, in situation) []step {
	anew := []step{stepIntend, stepSpace, stepAdd, stepWire, stepSettle, stepServe}
	switch {
	case in.record == nil:
		return anew
	case !in.record.Settled, in.card == nil, !alike(in.record.Attachment, a), in.record.Inline != (a.Config != nil):
		return append([]step{stepRelease}, anew...)
	default:
		return []step{stepWire, stepServe}
	}
}

// alike says whether a card that was asked for as was is what is asked for now. What
// the guest is called is told without another card; an address is compared with the
// one that was asked for, since not every kind of card can be given one.
func alike(was, now Attachment) bool {
	return was.Network == now.Network && queues(was) == queues(now) && strings.EqualFold(was.MAC, now.MAC)
}

func queues(a Attachment) int { return max(a.Queues, 1) }

// toDetach decides what takes the card away.
func toDetach(in situation) []step {
	if in.record == nil {
		return nil
	}
	return []step{stepRelease, stepStrike}
}

// toResume decides what a card needs when vm-executor starts: its frames go on
// without. One that is not whole waits for who wants it, or is swept.
func toResume(in situation) []step {
	if in.record == nil || !in.record.Settled || in.card == nil {
		return nil
	}
	return []step{stepWire, stepServe}
}
