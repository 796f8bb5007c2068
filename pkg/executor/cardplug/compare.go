// Package cardplug decides how the network cards of a guest that runs are to change,
// so that it has those that its VM's spec.interfaces says. It is pure: it compares
// what is wanted with what the guest has, and does nothing.
//
// The cards of spec.interfaces are known in a guest by their aliases, which hold
// their names, and by the record of its domain's mark; all others are not looked at.
package cardplug

import (
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
)

// Action is what is done to a guest.
type Action string

// Actions.
const (
	// Attach plugs a card in.
	Attach Action = "Attach"
	// Detach asks the guest to give a card up.
	Detach Action = "Detach"
)

// Change is one change of a guest's cards.
type Change struct {
	Action Action
	// Name is the card's in spec.interfaces, now or when it was plugged in.
	Name string
	// Entry is the card in spec.interfaces, and Card what it is connected to; none for
	// Detach.
	Entry *v1alpha1.VirtualMachineInterface
	Card  convert.Card
}

// Comparison is how a guest's cards differ from those of the spec.
type Comparison struct {
	// Changes are those that can be made, in order.
	Changes []Change
	// Waits says, by the names of cards, what keeps them from being plugged in.
	Waits map[string]string
	// Taken are the cards that are as the spec says, while the record does not.
	Taken []string
}

// Compare compares the cards that the VM's guest has with spec.interfaces. record is
// what its mark says that it was given; cards and waits are of networks.Gate.
func Compare(vm *v1alpha1.VirtualMachine, record convert.SpecRecord, has []libvirt.Card, cards map[string]convert.Card, waits map[string]string) Comparison {
	out := Comparison{Waits: map[string]string{}}
	entries := map[string]*v1alpha1.VirtualMachineInterface{}
	for i := range vm.Spec.Interfaces {
		entries[vm.Spec.Interfaces[i].Name] = &vm.Spec.Interfaces[i]
	}
	there := map[string]bool{}
	for _, c := range has {
		name, ours := convert.CardOfAlias(c.Alias)
		if !ours || entries[name] == nil && !record.HasInterface(name) {
			continue
		}
		there[name] = true
		if entries[name] == nil {
			out.Changes = append(out.Changes, Change{Action: Detach, Name: name})
		} else if !record.HasInterface(name) {
			out.Taken = append(out.Taken, name)
		}
	}
	for i := range vm.Spec.Interfaces {
		entry := &vm.Spec.Interfaces[i]
		if there[entry.Name] {
			continue
		}
		if card, can := cards[entry.Name]; can {
			out.Changes = append(out.Changes, Change{Action: Attach, Name: entry.Name, Entry: entry, Card: card})
		} else {
			out.Waits[entry.Name] = waits[entry.Name]
		}
	}
	for _, name := range record.Interfaces() {
		if !there[name] && entries[name] == nil {
			out.Taken = append(out.Taken, name)
		}
	}
	return out
}

// Concerns says whether the card is one that changes without a restart.
func (c *Comparison) Concerns(name string) bool {
	_, waits := c.Waits[name]
	return waits || slices.Contains(c.Taken, name) || slices.ContainsFunc(c.Changes, func(change Change) bool { return change.Name == name })
}
