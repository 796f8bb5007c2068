package cni

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// A network of IPv4 and IPv6 gives cards an address of each. The guest is told the
// first by DHCP, and nothing of the second; when it is given that by other means, it
// has the network by both.
func TestDualStack(t *testing.T) {
	h := newHost(t)
	h.network("net8", `{"cniVersion": "1.0.0", "name": "net8", "plugins": [{"type": "bridge", "bridge": "br8", "isGateway": true,
		"ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "10.8.0.0/24"}], [{"subnet": "fd00:8::/64"}]],
			"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}]}`)
	m := h.manager()
	var guests []*guest
	var given []netip.Prefix
	for _, name := range []string{"one", "two"} {
		a := vm(name, "net0", "net8")
		r, err := m.Attach(context.Background(), a)
		must(t, err)
		if len(r.Addresses) != 2 || r.IPv4() != r.Addresses[0] || !r.Addresses[1].Addr().Is6() || r.Addresses[1].Bits() != 64 || r.Gateway(true).String() != "fd00:8::1" {
			t.Fatalf("the card has %+v", r)
		}
		g := h.boot(name, r)
		g.listens()
		g.dhcp()
		g.reaches(r.Gateway(false))
		guests, given = append(guests, g), append(given, r.Addresses[1])
		t.Cleanup(func() {
			must(t, m.Check(context.Background(), a.UID, a.Card))
			must(t, m.Detach(context.Background(), a.UID, a.Card))
			if left := h.leased("net8"); name == "one" && len(left) > 0 {
				t.Errorf("addresses were not given back: %v", left)
			}
		})
	}
	time.Sleep(2 * time.Second)
	for i, g := range guests {
		if got := g.global(); len(got) > 0 {
			t.Errorf("guest %d: it has %v, and the documentation says that nobody tells it", i, got)
		}
		if !g.claims(given[i].String()) {
			t.Fatalf("guest %d: somebody has its address %s", i, given[i])
		}
		g.answers("8080", "over IPv6")
	}
	(&guest{t: t, space: h.space}).answers("8081", "the router")
	for i, g := range guests {
		for _, c := range []struct{ at, want string }{
			{netip.AddrPortFrom(given[1-i].Addr(), 8080).String(), "over IPv6"},
			{"[fd00:8::1]:8081", "the router"},
		} {
			if got := g.asks(c.at, patience); got != c.want {
				t.Errorf("guest %d hears %q at %s", i, got, c.at)
			}
		}
	}
}

// listens has the guest do what it is told by routers.
func (g *guest) listens() {
	g.t.Helper()
	must(g.t, netspace.Do(g.space, func() error {
		return netspace.Set(netspace.Setting{Name: "net/ipv6/conf/" + g.link + "/accept_ra", Value: "2"})
	}))
}

// global are the guest's addresses of IPv6 that reach beyond its link.
func (g *guest) global() (all []string) {
	g.t.Helper()
	handle, err := netspace.Handle(g.space)
	must(g.t, err)
	defer handle.Close()
	link, err := handle.LinkByName(g.link)
	must(g.t, err)
	have, err := handle.AddrList(link, netlink.FAMILY_V6)
	must(g.t, err)
	for _, a := range have {
		if !a.IP.IsLinkLocalUnicast() {
			all = append(all, a.IPNet.String())
		}
	}
	return all
}
