package libvirt

import (
	"context"
	"errors"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Cards are the network cards of running guests.
type Cards interface {
	// AttachCard gives a running guest a card, an <interface> document, until it
	// ends. Errors: ErrNotFound, ErrWrongState when it does not run,
	// ErrMissingResource when the host lacks the network, ErrUnsupported.
	AttachCard(ctx context.Context, uuid, xml string) error
	// DetachCard asks a running guest to let a card go, and does not wait for it:
	// the card has gone when Domain does not show it any more. One that is not
	// there is success. Errors: ErrNotFound, ErrWrongState, ErrUnsupported.
	DetachCard(ctx context.Context, uuid, alias string) error
	// CardAddresses are the IP addresses that the host has heard of the cards of a
	// running guest, by the card's hardware address. Errors: ErrNotFound,
	// ErrUnsupported.
	CardAddresses(ctx context.Context, uuid string) (map[string][]string, error)
}

// Card is a network card of a domain.
type Card struct {
	// Alias is how libvirt tells the domain's devices apart; it is stable where the
	// document chose it, and otherwise there while a guest runs.
	Alias string
	// MAC is in lower case.
	MAC string
	// Network is the libvirt network that it is on; empty for one on none.
	Network string
	// Target is the host's end of it, while a guest runs.
	Target string
}

func cardsOf(d *libvirtxml.Domain) (out []Card) {
	if d.Devices == nil {
		return nil
	}
	for i := range d.Devices.Interfaces {
		in := &d.Devices.Interfaces[i]
		card := Card{}
		if in.Alias != nil {
			card.Alias = in.Alias.Name
		}
		if in.MAC != nil {
			card.MAC = strings.ToLower(in.MAC.Address)
		}
		if in.Source != nil && in.Source.Network != nil {
			card.Network = in.Source.Network.Network
		}
		if in.Target != nil {
			card.Target = in.Target.Dev
		}
		out = append(out, card)
	}
	return out
}

// onGuest runs fn with the domain.
func onGuest[T any](ctx context.Context, c *connection, uuid, doing string, fn func(*lv.Domain) (T, error)) (T, error) {
	return call(ctx, c, doing, func(conn *lv.Connect) (out T, err error) {
		d, err := conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return out, err
		}
		defer func() { _ = d.Free() }()
		return fn(d)
	})
}

// AttachCard implements Host.
func (c *connection) AttachCard(ctx context.Context, uuid, xml string) error {
	_, err := onGuest(ctx, c, uuid, "attaching a card to domain "+uuid, func(d *lv.Domain) (struct{}, error) {
		return struct{}{}, d.AttachDeviceFlags(xml, lv.DOMAIN_DEVICE_MODIFY_LIVE)
	})
	return err
}

// DetachCard implements Host.
func (c *connection) DetachCard(ctx context.Context, uuid, alias string) error {
	_, err := onGuest(ctx, c, uuid, "detaching card "+alias+" of domain "+uuid, func(d *lv.Domain) (struct{}, error) {
		err := d.DetachDeviceAlias(alias, lv.DOMAIN_DEVICE_MODIFY_LIVE)
		if isCode(err, lv.ERR_DEVICE_MISSING) {
			err = nil
		}
		return struct{}{}, err
	})
	return err
}

// CardAddresses implements Host: what the DHCP servers of libvirt's networks gave
// out, and what is in the host's ARP table.
func (c *connection) CardAddresses(ctx context.Context, uuid string) (map[string][]string, error) {
	return onGuest(ctx, c, uuid, "looking for the addresses of domain "+uuid, func(d *lv.Domain) (map[string][]string, error) {
		out := map[string][]string{}
		var errs []error
		for _, source := range []lv.DomainInterfaceAddressesSource{lv.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, lv.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP} {
			cards, err := d.ListAllInterfaceAddresses(source)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, card := range cards {
				mac := strings.ToLower(card.Hwaddr)
				for _, a := range card.Addrs {
					out[mac] = append(out[mac], a.Addr)
				}
			}
		}
		if len(errs) == 2 {
			return nil, errors.Join(errs...)
		}
		return out, nil
	})
}
