package executor

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/cardplug"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// lookAtCards says in the situation what the VM's cards are connected to, and how
// those of a guest that runs are to change.
func (a *Agent) lookAtCards(ctx context.Context, w *work, vm *v1alpha1.VirtualMachine, in *plan.Situation) error {
	d := in.Domain
	if d == nil || !d.State.Active() {
		w.memory.Cards = plan.Plugging[plan.CardKey]{}
		return a.lookAtNetworks(ctx, w, vm, in)
	}
	a.namedNetworks(w, vm)
	in.Addresses = a.addresses.of(d.UUID, d.ID)
	if plan.ComparesCards(vm, d) {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		var err error
		if in.Networks, err = a.networks.Gate(ctx, vm); err != nil {
			return err
		}
		compared := cardplug.Compare(vm, d.Ownership.Spec, d.Cards, in.Networks.Cards, in.Networks.Waiting)
		in.Cards = &compared
	}
	keys, waits := plan.CardKeys(in.Cards)
	w.memory.Cards.See(keys, waits, in.Now)
	return nil
}

// plugCard carries out the change of cards that is due. One that fails is tried again
// with back-off.
func (a *Agent) plugCard(ctx context.Context, w *work, in *plan.Situation) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	change, _ := plan.DueCard(*in)
	if change == nil {
		return nil
	}
	err := a.changeCard(ctx, in, *change)
	switch {
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrNotFound):
		return err
	case err == nil && change.Action == cardplug.Detach:
		w.memory.Cards.Asked(plan.CardKey{Action: change.Action, Name: change.Name}, in.Now)
	case err == nil:
		a.tell.recorder.Eventf(in.VM, nil, corev1.EventTypeNormal, eventCardPlugged, "Plug", "The guest on %s is given card %s on VirtualNetwork %s", a.tell.node, change.Name, change.Entry.NetworkName)
	default:
		failure := fmt.Sprintf("plugging card %s in failed and is tried again: %s", change.Name, plan.CauseOf(err, in.VM))
		if change.Action == cardplug.Detach {
			failure = fmt.Sprintf("unplugging card %s failed and is tried again: %s", change.Name, plan.CauseOf(err, in.VM))
		}
		w.memory.Cards.Failed(plan.CardKey{Action: change.Action, Name: change.Name}, in.Now, plan.Failure{Reason: v1alpha1.ReasonInterfacePlugFailed, Message: failure}, errors.Is(err, libvirt.ErrUnsupported))
		a.tell.recorder.Eventf(in.VM, nil, corev1.EventTypeWarning, v1alpha1.ReasonInterfacePlugFailed, "Plug", "%s: %s", a.tell.node, plan.Shortened(failure, maxNote))
	}
	in.Domain, err = a.look(ctx, in.VM.DomainUUID())
	return err
}

// eventCardPlugged is the reason of the event of a card that was plugged in.
const eventCardPlugged = "InterfacePlugged"

// changeCard makes one change of the guest's cards. The network is held until the
// domain is known to have the card.
func (a *Agent) changeCard(ctx context.Context, in *plan.Situation, c cardplug.Change) error {
	uuid := in.VM.DomainUUID()
	if c.Action == cardplug.Detach {
		return a.host.DetachCard(ctx, uuid, convert.CardAlias(c.Name))
	}
	release, ok := a.networks.Hold(map[string]convert.Card{c.Name: c.Card})
	if !ok {
		return errNetworkMoves(in.VM)
	}
	defer release()
	doc, err := convert.InterfaceXML(in.VM, c.Entry, c.Card)
	if err != nil {
		return err
	}
	if err := a.host.AttachCard(ctx, uuid, doc); err != nil {
		return err
	}
	_, err = a.look(ctx, uuid)
	return err
}

// takeCards has the mark's record say which cards the guest has by now, as if it had
// been started with them.
func (a *Agent) takeCards(ctx context.Context, in *plan.Situation) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	mark := in.Domain.Ownership
	for _, name := range in.Cards.Taken {
		mark.Spec = mark.Spec.Replugged(&in.VM.Spec, name)
	}
	if changed, known := mark.Spec.Changed(&in.VM.Spec); known && len(changed) == 0 {
		mark.Generation = in.VM.Generation
	}
	uuid := in.VM.DomainUUID()
	if err := a.host.SetMetadata(ctx, uuid, mark.Element(), convert.OwnershipPrefix, convert.OwnershipNamespace); err != nil {
		return err
	}
	var err error
	in.Domain, err = a.look(ctx, uuid)
	return err
}
