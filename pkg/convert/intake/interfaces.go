package intake

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
)

// interfaces makes bridges and devices of a host that a libvirt network is known
// to lead to that network. The card that the guest sees stays, with its address.
func (s *state) interfaces() {
	for i := range s.domain.Devices.Interfaces {
		card, here := &s.domain.Devices.Interfaces[i], at("devices", "interfaces").Index(i)
		if card.Source != nil && s.network(card.Source, here.Child("source")) {
			s.portOfTheBridge(card, here)
		}
		if t := card.Target; t != nil && strings.HasPrefix(t.Dev, "tap") && t.Managed != "no" {
			// One that libvirt does not manage is there before the guest.
			s.endOfTheCable(card, here)
		}
		if f := card.FilterRef; f != nil && strings.HasPrefix(f.Filter, "vdsm-") {
			s.changed(here.Child("filterRef"), "removed "+f.Filter, "oVirt defines it on its own hosts alone: guests may send with any MAC address unless the network forbids it")
			card.FilterRef = nil
		}
	}
}

// network says whether the source became a network.
func (s *state) network(source *libvirtxml.DomainInterfaceSource, here *field.Path) bool {
	var device, kind string
	switch {
	case source.Bridge != nil:
		device, kind = source.Bridge.Bridge, "bridge"
	case source.Direct != nil:
		device, kind = source.Direct.Dev, "device"
	default:
		return false
	}
	network := s.opts.Networks[device]
	if network == "" {
		return false
	}
	source.Bridge, source.Direct = nil, nil
	source.Network = &libvirtxml.DomainInterfaceSourceNetwork{Network: network}
	s.changed(here, fmt.Sprintf("%s %s became network %s", kind, device, network), "networks are named, so that every host can have its own way to them")
	return true
}

// portOfTheBridge drops what was said of a port of the old host's bridge.
func (s *state) portOfTheBridge(card *libvirtxml.DomainInterface, here *field.Path) {
	if card.VirtualPort != nil {
		s.changed(here.Child("virtualPort"), "removed", "it is a port of the old host's switch; the network says what its ports are")
		card.VirtualPort = nil
	}
	if card.Target != nil && card.Target.Dev != "" {
		s.endOfTheCable(card, here)
	}
}

// endOfTheCable drops the name of the host's end, such as OpenStack gives: tap and
// a part of the port's UUID.
func (s *state) endOfTheCable(card *libvirtxml.DomainInterface, here *field.Path) {
	s.changed(here.Child("target"), "removed "+card.Target.Dev, "libvirt names the host's end of the cable")
	card.Target = nil
}
