package networks

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// Connector connects cards to networks that libvirt has no part in, of type cni.
type Connector interface {
	// Connect makes what the card of the VM is plugged into on the host, or finds
	// what it made before, and says what that is. Until it can, waits says in words
	// what for. It may be called at any time and any number of times for a card, and
	// takes no longer than ctx allows.
	Connect(ctx context.Context, vm *v1alpha1.VirtualMachine, card *v1alpha1.VirtualMachineInterface, network *v1alpha1.VirtualNetwork) (made convert.Card, waits string, err error)
}

// Gate says whether the guest of a VM can have its cards on this host.
type Gate struct {
	// Cards are what the guest's cards are connected to, by their names; those that
	// can be had, where not all can.
	Cards map[string]convert.Card
	// Waiting says, by the cards' names, what is waited for; it has none when all can
	// be had.
	Waiting map[string]string
	// Unfit says why the VM is to be placed elsewhere; empty where it is not.
	Unfit string
}

// Waits is what is waited for, in words; empty when all cards can be had.
func (g Gate) Waits(vm *v1alpha1.VirtualMachine) string {
	var out []string
	for i := range vm.Spec.Interfaces {
		if why, waits := g.Waiting[vm.Spec.Interfaces[i].Name]; waits {
			out = append(out, why)
		}
	}
	return strings.Join(out, "; ")
}

// Gate looks at the VM's networks, and has those made that there are none of.
func (k *Keeper) Gate(ctx context.Context, vm *v1alpha1.VirtualMachine) (Gate, error) {
	if len(vm.Spec.Interfaces) == 0 {
		return Gate{}, nil
	}
	out := Gate{Cards: map[string]convert.Card{}, Waiting: map[string]string{}}
	for i := range vm.Spec.Interfaces {
		card := &vm.Spec.Interfaces[i]
		made, waits, unfit, err := k.card(ctx, vm, card)
		switch {
		case err != nil:
			return out, err
		case waits != "":
			out.Waiting[card.Name] = waits
			if unfit && out.Unfit == "" {
				out.Unfit = waits
			}
		default:
			out.Cards[card.Name] = made
		}
	}
	return out, nil
}

func (k *Keeper) card(ctx context.Context, vm *v1alpha1.VirtualMachine, card *v1alpha1.VirtualMachineInterface) (made convert.Card, waits string, unfit bool, err error) {
	key := types.NamespacedName{Namespace: vm.Namespace, Name: card.NetworkName}
	n := k.Networks.Network(ctx, key)
	if n == nil {
		if n, err = k.read(ctx, key); err != nil {
			return made, "", false, err
		}
	}
	if n == nil {
		return made, fmt.Sprintf("there is no VirtualNetwork %s: create it, or leave it out of spec.interfaces", key.Name), false, nil
	}
	if n.Spec.Type == v1alpha1.NetworkCNI {
		if n.DeletionTimestamp != nil {
			return made, fmt.Sprintf("VirtualNetwork %s is being deleted: leave it out of spec.interfaces", key.Name), false, nil
		}
		if k.CNI == nil {
			return made, fmt.Sprintf("host %s connects no cards to networks of type cni, as VirtualNetwork %s is", k.Node, key.Name), true, nil
		}
		if waits, err := k.undefined(ctx, n); waits != "" || err != nil {
			return made, waits, false, err
		}
		made, waits, err = k.CNI.Connect(ctx, vm, card, n)
		return made, waits, false, err
	}
	if card.Isolated && n.Spec.Type == v1alpha1.NetworkDirect {
		return made, fmt.Sprintf("spec.interfaces: card %s cannot be isolated on VirtualNetwork %s of type direct, where mode private does that: leave isolated out", card.Name, key.Name), false, nil
	}
	k.mu.Lock()
	s, known := k.states[key][n.UID]
	closing := k.closing[n.LibvirtName()]
	k.mu.Unlock()
	switch {
	case known && s.active && !closing:
		return convert.Card{Network: n.LibvirtName()}, "", false, nil
	case known && s.message != "":
		return made, fmt.Sprintf("VirtualNetwork %s: %s", key.Name, s.message), s.unfit, nil
	}
	k.Enqueue(key)
	return made, fmt.Sprintf("VirtualNetwork %s is being made on host %s", key.Name, k.Node), false, nil
}

// Hold keeps the networks of cards from being stopped until release is called: by
// then it must be known that a guest has cards on them. It is false while one of
// them is being stopped.
func (k *Keeper) Hold(cards map[string]convert.Card) (release func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range cards {
		if k.closing[c.Network] {
			return nil, false
		}
	}
	for _, c := range cards {
		k.held[c.Network]++
	}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, c := range cards {
			if k.held[c.Network]--; k.held[c.Network] == 0 {
				delete(k.held, c.Network)
			}
		}
	}, true
}
