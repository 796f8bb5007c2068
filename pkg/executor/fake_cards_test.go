package executor

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// fakeCards is what a fakeHost does with guests' cards.
type fakeCards struct {
	// attachErr is what plugging in fails with; a guest that keeps its cards gives none
	// up. heard are the addresses that the host has heard of.
	attachErr error
	keeps     bool
	heard     map[string][]string
}

func cardsIn(d *libvirtxml.Domain) (out []libvirt.Card) {
	for i := range d.Devices.Interfaces {
		out = append(out, cardIn(&d.Devices.Interfaces[i]))
	}
	return out
}

func cardIn(in *libvirtxml.DomainInterface) libvirt.Card {
	c := libvirt.Card{}
	if in.MAC != nil {
		c.MAC = strings.ToLower(in.MAC.Address)
	}
	if in.Alias != nil {
		c.Alias = in.Alias.Name
	}
	if in.Source != nil && in.Source.Network != nil {
		c.Network = in.Source.Network.Network
	}
	return c
}

func (h *fakeHost) AttachCard(_ context.Context, uuid, xml string) error {
	return h.change("attach card", func() error {
		if h.cards.attachErr != nil {
			return h.cards.attachErr
		}
		var in libvirtxml.DomainInterface
		if err := in.Unmarshal(xml); err != nil {
			return err
		}
		d := h.domains[uuid]
		d.Cards = append(slices.Clone(d.Cards), cardIn(&in))
		h.domains[uuid] = d
		return nil
	})
}

func (h *fakeHost) DetachCard(_ context.Context, uuid, alias string) error {
	return h.change("detach card", func() error {
		d := h.domains[uuid]
		if !h.cards.keeps {
			d.Cards = slices.DeleteFunc(slices.Clone(d.Cards), func(c libvirt.Card) bool { return c.Alias == alias })
		}
		h.domains[uuid] = d
		return nil
	})
}

func (h *fakeHost) CardAddresses(context.Context, string) (map[string][]string, error) {
	return h.cards.heard, nil
}

func (c cacheOf) Network(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualNetwork {
	n := &v1alpha1.VirtualNetwork{}
	if c.Reader.Get(ctx, key, n) != nil {
		return nil
	}
	return n
}
