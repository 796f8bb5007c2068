package dhcp

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

var mac = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}

func bridged() Lease {
	return Lease{
		MAC: mac, Address: netip.MustParsePrefix("10.1.2.3/24"), Router: netip.MustParseAddr("10.1.2.1"),
		Routes: []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.1.2.1")}},
		DNS:    []netip.Addr{netip.MustParseAddr("10.1.2.1")}, Domain: "guests.test", Search: []string{"guests.test", "test"},
		Hostname: "web", MTU: 1400,
	}
}

func ask(t *testing.T, kind dhcpv4.MessageType, change ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind)}, change...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// answer goes through bytes, as on the wire.
func answer(t *testing.T, l Lease, m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	t.Helper()
	reply, err := Reply(l, m)
	if err != nil {
		t.Fatal(err)
	}
	if reply == nil {
		return nil
	}
	read, err := dhcpv4.FromBytes(reply.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestLease(t *testing.T) {
	question := ask(t, dhcpv4.MessageTypeDiscover)
	got := answer(t, bridged(), question)
	if got == nil {
		t.Fatal("no answer")
	}
	if got.TransactionID != question.TransactionID || got.OpCode != dhcpv4.OpcodeBootReply {
		t.Errorf("this answers another question: %s", got.Summary())
	}
	type told struct {
		Kind, Address, Mask, Server, Router, DNS, Domain, Host, Lease string
		Search                                                        []string
		MTU                                                           []byte
		Routes                                                        int
	}
	want := told{
		Kind: "OFFER", Address: "10.1.2.3", Mask: "ffffff00", Server: "10.1.2.1", Router: "[10.1.2.1]", DNS: "[10.1.2.1]", Domain: "guests.test",
		Host: "web", Lease: Infinite.String(), Search: []string{"guests.test", "test"}, MTU: []byte{5, 120},
	}
	have := told{
		Kind: got.MessageType().String(), Address: got.YourIPAddr.String(), Mask: got.SubnetMask().String(), Server: got.ServerIdentifier().String(),
		Router: fmt.Sprint(got.Router()), DNS: fmt.Sprint(got.DNS()), Domain: got.DomainName(), Host: got.HostName(),
		Lease: got.IPAddressLeaseTime(time.Second).String(), Search: got.DomainSearch().Labels,
		MTU: got.Options.Get(dhcpv4.OptionInterfaceMTU), Routes: len(got.ClasslessStaticRoute()),
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhoIsAnswered(t *testing.T) {
	ip := func(s string) net.IP { return net.ParseIP(s).To4() }
	requested := func(s string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip(s))) }
	server := func(s string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(s))) }
	for name, c := range map[string]struct {
		ask  *dhcpv4.DHCPv4
		want string
	}{
		"DISCOVER":                                {ask(t, dhcpv4.MessageTypeDiscover), "OFFER"},
		"SELECTING":                               {ask(t, dhcpv4.MessageTypeRequest, requested("10.1.2.3"), server("10.1.2.1")), "ACK"},
		"another server was chosen":               {ask(t, dhcpv4.MessageTypeRequest, requested("10.1.2.3"), server("10.1.2.9")), ""},
		"INIT-REBOOT with its address":            {ask(t, dhcpv4.MessageTypeRequest, requested("10.1.2.3")), "ACK"},
		"INIT-REBOOT after the VM came elsewhere": {ask(t, dhcpv4.MessageTypeRequest, requested("10.9.9.9")), "NAK"},
		"RENEWING":                                {ask(t, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip("10.1.2.3"))), "ACK"},
		"RENEWING another's":                      {ask(t, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip("10.1.2.4"))), "NAK"},
		"INFORM":                                  {ask(t, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(ip("10.1.2.3"))), "ACK"},
		"RELEASE":                                 {ask(t, dhcpv4.MessageTypeRelease), ""},
		"DECLINE":                                 {ask(t, dhcpv4.MessageTypeDecline), ""},
		"another card":                            {ask(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(net.HardwareAddr{0x52, 0x54, 0, 0, 0, 2})), ""},
		"an answer":                               {ask(t, dhcpv4.MessageTypeOffer, func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }), ""},
	} {
		got := ""
		reply := answer(t, bridged(), c.ask)
		if reply != nil {
			got = reply.MessageType().String()
		}
		if got != c.want {
			t.Errorf("%s: answered with %q, want %q", name, got, c.want)
		}
		if got == "NAK" && (!reply.YourIPAddr.IsUnspecified() || reply.SubnetMask() != nil) {
			t.Errorf("%s: the refusal gives an address: %s", name, reply.Summary())
		}
	}
	inform := answer(t, bridged(), ask(t, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(ip("10.1.2.3"))))
	if !inform.YourIPAddr.IsUnspecified() || inform.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
		t.Errorf("INFORM is answered with a lease: %s", inform.Summary())
	}
}

func TestRoutes(t *testing.T) {
	route := func(to, via string) Route {
		r := Route{To: netip.MustParsePrefix(to)}
		if via != "" {
			r.Via = netip.MustParseAddr(via)
		}
		return r
	}
	for name, c := range map[string]struct {
		address, router string
		routes          []Route
		want            string
	}{
		"a router on the prefix needs no more": {"10.1.2.3/24", "10.1.2.1", []Route{route("0.0.0.0/0", "10.1.2.1")}, "[]"},
		"a router on no prefix": {
			"10.1.2.3/32", "10.1.2.1", []Route{route("10.1.2.1/32", ""), route("0.0.0.0/0", "10.1.2.1")},
			"[route to 10.1.2.1/32 via 0.0.0.0 route to 0.0.0.0/0 via 10.1.2.1]",
		},
		"another router for some": {
			"10.1.2.3/24", "10.1.2.1", []Route{route("10.8.0.0/16", "10.1.2.9"), route("0.0.0.0/0", "10.1.2.1")},
			"[route to 10.8.0.0/16 via 10.1.2.9 route to 0.0.0.0/0 via 10.1.2.1]",
		},
		"no routes": {"10.1.2.3/24", "", nil, "[]"},
	} {
		l := Lease{MAC: mac, Address: netip.MustParsePrefix(c.address), Routes: c.routes}
		server := Unreachable.String()
		if c.router != "" {
			l.Router = netip.MustParseAddr(c.router)
			server = c.router
		}
		got := answer(t, l, ask(t, dhcpv4.MessageTypeDiscover))
		if s := fmt.Sprint(got.ClasslessStaticRoute()); s != c.want {
			t.Errorf("%s: routes are %s, want %s", name, s, c.want)
		}
		if got.ServerIdentifier().String() != server {
			t.Errorf("%s: the server is %s, want %s", name, got.ServerIdentifier(), server)
		}
	}
}
