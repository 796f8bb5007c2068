// Package dhcp answers one guest's questions by DHCPv4 (RFC 2131): its address was
// given out by a CNI plugin, and the guest is told of it.
package dhcp

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Unreachable is the server's name for itself on a network without a router, an
// address of RFC 3927 that no host is given. A guest cannot renew from it and asks
// everybody, which reaches us.
var Unreachable = netip.AddrFrom4([4]byte{169, 254, 255, 1})

// Infinite is a lease that does not end (RFC 2131, 3.3): the address is the guest's
// for as long as its card is attached, and no process of ours has to be there for
// the guest to keep it.
const Infinite = time.Duration(0xffffffff) * time.Second

// Route leads to a destination by a router, or directly where Via is not set.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Lease is what the guest is told.
type Lease struct {
	// MAC is the guest's card; others get no answer.
	MAC net.HardwareAddr
	// Address is the guest's with the length of its on-link prefix.
	Address netip.Prefix
	// Router is the default one; not set when there is none.
	Router netip.Addr
	// Routes are all that lead elsewhere, the default among them.
	Routes []Route
	DNS    []netip.Addr
	// Domain and Search are names for the guest's resolver.
	Domain string
	Search []string
	// Hostname is what the guest is called.
	Hostname string
	// MTU is that of the card in bytes; 0 says nothing.
	MTU int
	// Time defaults to Infinite.
	Time time.Duration
}

// server is what the guest knows the server by and renews from: its router, for
// what it sends there comes by us.
func (l Lease) server() net.IP {
	if l.Router.Is4() {
		return l.Router.AsSlice()
	}
	return Unreachable.AsSlice()
}

// classless says whether a mask and a router do not say all of the routes: there
// are others, or the router is not on the guest's own prefix.
func (l Lease) classless() bool {
	for _, r := range l.Routes {
		if r.To.Bits() != 0 || r.Via != l.Router || !l.Address.Masked().Contains(r.Via) {
			return true
		}
	}
	return false
}

// Reply answers m; nil when there is nothing to be said.
func Reply(l Lease, m *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	if m.OpCode != dhcpv4.OpcodeBootRequest || !bytes.Equal(m.ClientHWAddr, l.MAC) {
		return nil, nil
	}
	if asked := m.ServerIdentifier(); asked != nil && !asked.IsUnspecified() && !asked.Equal(l.server()) {
		return nil, nil // it chose another server
	}
	address := net.IP(l.Address.Addr().AsSlice())
	var kind dhcpv4.MessageType
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeInform:
		kind, address = dhcpv4.MessageTypeAck, nil // it has an address (RFC 2131, 4.3.5)
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
		wanted := m.RequestedIPAddress()
		if wanted == nil || wanted.IsUnspecified() {
			wanted = m.ClientIPAddr
		}
		if !wanted.Equal(address) {
			kind = dhcpv4.MessageTypeNak
		}
	default:
		return nil, nil
	}
	reply, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(l.server()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(l.server())))
	if err != nil {
		return nil, fmt.Errorf("answering a %s: %w", m.MessageType(), err)
	}
	if kind == dhcpv4.MessageTypeNak {
		reply.ServerIPAddr = net.IPv4zero
		return reply, nil
	}
	l.tell(reply, address)
	return reply, nil
}

// tell writes the lease; address is nil for who has one.
func (l Lease) tell(reply *dhcpv4.DHCPv4, address net.IP) {
	set := func(o dhcpv4.Option) { reply.UpdateOption(o) }
	if address != nil {
		reply.YourIPAddr = address
		span := l.Time
		if span == 0 {
			span = Infinite
		}
		set(dhcpv4.OptIPAddressLeaseTime(span))
	}
	set(dhcpv4.OptSubnetMask(net.CIDRMask(l.Address.Bits(), 32)))
	if l.Router.Is4() {
		set(dhcpv4.OptRouter(l.Router.AsSlice()))
	}
	if l.classless() {
		// A client that knows these does not look at the router (RFC 3442).
		routes := make([]*dhcpv4.Route, 0, len(l.Routes))
		for _, r := range l.Routes {
			via := net.IPv4zero.To4()
			if r.Via.IsValid() {
				via = r.Via.AsSlice()
			}
			routes = append(routes, &dhcpv4.Route{
				Dest:   &net.IPNet{IP: r.To.Addr().AsSlice(), Mask: net.CIDRMask(r.To.Bits(), 32)},
				Router: via,
			})
		}
		set(dhcpv4.OptClasslessStaticRoute(routes...))
	}
	if len(l.DNS) > 0 {
		servers := make([]net.IP, 0, len(l.DNS))
		for _, s := range l.DNS {
			servers = append(servers, s.AsSlice())
		}
		set(dhcpv4.OptDNS(servers...))
	}
	if l.Domain != "" {
		set(dhcpv4.OptDomainName(l.Domain))
	}
	if len(l.Search) > 0 {
		dhcpv4.WithDomainSearchList(l.Search...)(reply)
	}
	if l.Hostname != "" {
		set(dhcpv4.OptHostName(l.Hostname))
	}
	if l.MTU > 0 {
		set(dhcpv4.Option{Code: dhcpv4.OptionInterfaceMTU, Value: dhcpv4.Uint16(l.MTU)})
	}
}
