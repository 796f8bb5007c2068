package libvirt

import (
	"context"
	"errors"
	"fmt"
)

// ErrNoNetwork says that the host has no such network. It is ErrMissingResource too.
var ErrNoNetwork = fmt.Errorf("no such network: %w", ErrMissingResource)

// ErrNetworkBusy says that the network, its bridge or its addresses are in use by something
// else on the host.
var ErrNetworkBusy = errors.New("the host uses the network's bridge or addresses for something else")

// Networks are libvirt's networks on the host, and what they could lead to.
//
// Errors of all of them: ErrUnavailable, ErrTimeout, ErrUnsupported where there is
// no network driver, and libvirt's own.
type Networks interface {
	// HostInterfaces lists the host's network interfaces, sorted by name, without
	// loopbacks; none where libvirt has no driver for them.
	HostInterfaces(ctx context.Context) ([]HostInterface, error)
	// Networks lists all networks, active and defined, sorted by name.
	Networks(ctx context.Context) ([]Network, error)
	// DefineNetwork stores a network without starting it, and replaces the
	// definition of one of the same name and UUID: an active one goes on as it was
	// started. Errors: ErrInvalidDomain when libvirt does not take the document.
	DefineNetwork(ctx context.Context, xml string) error
	// StartNetwork starts a defined network. One that is active is left as it is.
	// Errors: ErrNoNetwork, ErrNetworkBusy.
	StartNetwork(ctx context.Context, name string) error
	// StopNetwork ends a network at once, whoever uses it. One that is not active,
	// or not there, is success.
	StopNetwork(ctx context.Context, name string) error
	// UndefineNetwork removes a network's definition. One that is not there is
	// success.
	UndefineNetwork(ctx context.Context, name string) error
	// SetDHCPHost gives a card of a network an address, now and after the network's
	// next start: it adds the <host> element, or with remove takes it away, in the
	// network's subnet number subnet, from 0. Errors: ErrNoNetwork, ErrUnsupported.
	SetDHCPHost(ctx context.Context, name string, subnet int, host string, remove bool) error
	// Leases are the addresses that the network's DHCP server has given out and not
	// taken back. Errors: ErrNoNetwork.
	Leases(ctx context.Context, name string) ([]Lease, error)
}

// HostInterface is a network interface of the host.
type HostInterface struct {
	Name string
	// Bridge says that it is a bridge of Linux'.
	Bridge bool
}

// Network is a network as libvirt has it.
type Network struct {
	Name, UUID string
	Active     bool
	// Bridge is the name of its bridge; empty for one without.
	Bridge string
	// XML is the network as it is while it is active, and as it is defined
	// otherwise; Defined is as it is defined, and empty for one that is gone once it
	// is stopped. Metadata is the XML inside <metadata> of XML.
	XML, Defined, Metadata string
}

// Lease is an address that a DHCP server gave to a card.
type Lease struct{ MAC, Address string }
