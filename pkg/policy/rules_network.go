package policy

import (
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var networkRules = []rule{
	{
		says:  "`devices.interfaces[]` has a source: network (with its name) or user",
		why:   "what libvirt takes when nothing is said depends on its version",
		check: eachInterface(checkInterfaceSource),
	},
	{
		says: "`devices.interfaces[].source.network.network` is not a VirtualNetwork's, of which the name ends in `.vn-` and 12 digits",
		why:  "whose such a network is is said by its VirtualNetwork: name that in spec.interfaces",
		check: eachInterface(func(card *libvirtxml.DomainInterface, at *field.Path) field.ErrorList {
			if card.Source == nil || card.Source.Network == nil || !ofVirtualNetwork.MatchString(card.Source.Network.Network) {
				return nil
			}
			return field.ErrorList{field.Forbidden(at.Child("source", "network", "network"), "is the network of a VirtualNetwork: name that in spec.interfaces")}
		}),
	},
	{
		says: "`devices.interfaces[].driver.name` is qemu or vhost",
		why:  "others hand the device to a program of the host",
		check: eachInterface(func(card *libvirtxml.DomainInterface, at *field.Path) field.ErrorList {
			if card.Driver == nil {
				return nil
			}
			return oneOf(at.Child("driver", "name"), card.Driver.Name, "qemu", "vhost")
		}),
	},
}

// ofVirtualNetwork is what VirtualNetwork.LibvirtName returns.
var ofVirtualNetwork = regexp.MustCompile(regexp.QuoteMeta(v1alpha1.NetworkMark) + "[0-9a-f]{12}$")

func eachInterface(check func(card *libvirtxml.DomainInterface, at *field.Path) field.ErrorList) func(scope) field.ErrorList {
	return func(s scope) field.ErrorList {
		devices, at := s.devices()
		var errs field.ErrorList
		for i := range devices.Interfaces {
			errs = append(errs, check(&devices.Interfaces[i], at.Child("interfaces").Index(i))...)
		}
		return errs
	}
}

func checkInterfaceSource(card *libvirtxml.DomainInterface, at *field.Path) field.ErrorList {
	at = at.Child("source")
	if card.Source == nil || *card.Source == (libvirtxml.DomainInterfaceSource{}) {
		return field.ErrorList{field.Required(at, "name a libvirt network, such as source: {network: {network: default}}")}
	}
	if network := card.Source.Network; network != nil && network.Network == "" {
		return field.ErrorList{field.Required(at.Child("network", "network"), "name the libvirt network")}
	}
	return nil
}
