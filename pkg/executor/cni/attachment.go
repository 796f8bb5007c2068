package cni

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"

	"k8s.io/apimachinery/pkg/types"
)

// Attachment is a card that a VM is to have on a network.
type Attachment struct {
	// Namespace, Name and UID are the VM's. Plugins are told the first two as a pod's.
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	// Card tells the VM's cards apart: a DNS label.
	Card string `json:"card"`
	// Network is the name of a configuration in Options.ConfigDir, of those in
	// Options.Networks.
	Network string `json:"network"`
	// Config, when set, is the configuration itself (JSON; of a list or one plugin, as
	// cnidefinition.Read returns it), and Network only what it is called by. It names
	// programs that run as root: of those in Options.DefinitionPlugins, and who may write
	// it is the caller's to decide. A card keeps the one that it was made with.
	Config []byte `json:"-"`
	// MAC is the address wanted for the card, as 52:54:00:12:34:56; by default, and
	// where the card's kind has none of its own, it is what the plugin chose.
	MAC string `json:"mac,omitempty"`
	// Hostname is what the guest is called by DHCP.
	Hostname string `json:"hostname,omitempty"`
	// Queues is how many the guest's card has; 1 by default.
	Queues int `json:"queues,omitempty"`
}

// Result is a card that is attached.
type Result struct {
	// Tap is the interface in libvirtd's network namespace that QEMU opens:
	// <interface type='ethernet'><target dev='TAP' managed='no'/>.
	Tap string `json:"tap"`
	// MAC is the address that the guest's card must have: frames of another do not
	// reach the network.
	MAC string `json:"mac"`
	// MTU is in bytes.
	MTU int `json:"mtu"`
	// Addresses are the guest's, each with its on-link prefix; none on a network
	// that gives out none, where the guest asks the network itself.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	// Routes are all but those to on-link prefixes, in the order in which they can
	// be added.
	Routes []Route `json:"routes,omitempty"`
	DNS    DNS     `json:"dns,omitzero"`
	// Space is the path of the VM's network namespace, and Interface the card's name
	// in it.
	Space     string `json:"space"`
	Interface string `json:"interface"`
}

// Route leads to a destination by a router, or directly where Via is not set.
type Route struct {
	To  netip.Prefix `json:"to"`
	Via netip.Addr   `json:"via,omitzero"`
}

// DNS is what the plugin says of resolving names.
type DNS struct {
	Nameservers []netip.Addr `json:"nameservers,omitempty"`
	Domain      string       `json:"domain,omitempty"`
	Search      []string     `json:"search,omitempty"`
}

// Gateway is the default router of IPv4, or of IPv6; not valid when there is none.
func (r Result) Gateway(ipv6 bool) netip.Addr {
	for _, route := range r.Routes {
		if route.To.Bits() == 0 && route.To.Addr().Is6() == ipv6 {
			return route.Via
		}
	}
	return netip.Addr{}
}

// IPv4 is the address that the guest is told of by DHCP; not valid when there is
// none.
func (r Result) IPv4() netip.Prefix {
	for _, a := range r.Addresses {
		if a.Addr().Is4() {
			return a
		}
	}
	return netip.Prefix{}
}

var (
	label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	// A CNI container ID, of which dots could lead out of a folder.
	identifier = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_]*$`)
	// Network names become names of files of libcni and of plugins (CNI's
	// specification, section 1), and are told in CNI_ARGS, which parts by ; and =.
	network = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_.]*$`)
	pod     = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
)

// validate names the field that is wrong and the remedy.
func (a Attachment) validate() error {
	bad := func(field, value, remedy string) error {
		return fmt.Errorf("%w: %s %q: %s", ErrInvalid, field, value, remedy)
	}
	switch {
	case !identifier.MatchString(string(a.UID)) || len(a.UID) > 63:
		return bad("uid", string(a.UID), "give the VM's UID, of at most 63 letters, digits and dashes")
	case !label.MatchString(a.Card) || len(a.Card) > 63:
		return bad("card", a.Card, "give a DNS label of at most 63 characters")
	case !network.MatchString(a.Network) || len(a.Network) > 63:
		return bad("network", a.Network, "give the name of a CNI configuration, of at most 63 letters, digits, dashes, dots and underscores")
	case !pod.MatchString(a.Namespace):
		return bad("namespace", a.Namespace, "give the VM's namespace")
	case !pod.MatchString(a.Name):
		return bad("name", a.Name, "give the VM's name")
	case a.Queues < 0 || a.Queues > 256:
		return bad("queues", fmt.Sprint(a.Queues), "give a number from 1 to 256")
	}
	if a.MAC != "" {
		mac, err := net.ParseMAC(a.MAC)
		if err != nil || len(mac) != 6 || mac[0]&1 == 1 {
			return bad("mac", a.MAC, "give 6 bytes, the first one even, such as 52:54:00:12:34:56")
		}
	}
	return nil
}
