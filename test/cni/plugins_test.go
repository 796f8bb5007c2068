package cni

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// lan is a namespace beyond the host's interface up0, with an address that answers.
func (h *host) lan(address string) {
	h.t.Helper()
	space := h.newSpace("lan")
	handle, err := netspace.Handle(space)
	must(h.t, err)
	defer handle.Close()
	must(h.t, netspace.Do(h.space, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "lan0"})
	}))
	must(h.t, netspace.Do(h.space, func() error {
		up, err := netlink.LinkByName("up0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(up); err != nil {
			return err
		}
		lan, err := netlink.LinkByName("lan0")
		if err != nil {
			return err
		}
		return netspaceMove(lan, space)
	}))
	must(h.t, netspace.Do(space, func() error {
		lan, err := netlink.LinkByName("lan0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(lan, a); err != nil {
			return err
		}
		return netlink.LinkSetUp(lan)
	}))
}

const ipam = `"ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "10.8.0.0/24", "rangeStart": "10.8.0.10"}]], "routes": [{"dst": "0.0.0.0/0"}]}`

// Each plugin adds, checks and removes the cards of two VMs, which get their
// addresses by DHCP and reach the network's router and each other.
func TestPlugins(t *testing.T) {
	cases := []struct {
		name    string
		config  string
		prepare func(*host)
		needs   func(*host) bool
		router  string
	}{
		{
			name: "bridge", router: "10.8.0.1",
			config: `{"type": "bridge", "bridge": "br8", "isGateway": true, "ipMasq": true, ` + ipam + `}`,
		},
		{
			name: "bridge with a chain", router: "10.8.0.1",
			config: `{"type": "bridge", "bridge": "br8", "isGateway": true, ` + ipam + `},
				{"type": "firewall"}, {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}`,
		},
		{
			name: "ptp", router: "10.8.0.1",
			config: `{"type": "ptp", "mtu": 1420, ` + ipam + `}`,
		},
		{
			name: "macvlan", router: "10.8.0.1",
			config:  `{"type": "macvlan", "master": "up0", "mode": "bridge", ` + ipam + `}`,
			prepare: func(h *host) { h.lan("10.8.0.1/24") },
			needs: func(h *host) bool {
				return h.has("macvlan", func() error {
					if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}); err != nil {
						return err
					}
					a, err := netlink.LinkByName("a")
					if err != nil {
						return err
					}
					return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "m", ParentIndex: a.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE})
				})
			},
		},
		{
			name: "vlan", router: "10.8.0.1",
			config:  `{"type": "vlan", "master": "up0", "vlanId": 8, ` + ipam + `}`,
			prepare: func(h *host) { h.lan("10.8.0.1/24") },
			needs: func(h *host) bool {
				return h.has("802.1Q", func() error {
					if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}); err != nil {
						return err
					}
					a, err := netlink.LinkByName("a")
					if err != nil {
						return err
					}
					return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "v", ParentIndex: a.Attrs().Index}, VlanId: 8})
				})
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			if c.needs != nil && !c.needs(h) {
				t.Skipf("the kernel of this machine has not what %s needs: not tried", c.name)
			}
			if c.prepare != nil {
				c.prepare(h)
			}
			h.network("net8", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net8", "plugins": [%s]}`, c.config))
			m := h.manager()
			ctx := context.Background()
			// What a network makes for all of its cards stays: a bridge, for one.
			first := vm("first", "net0", "net8")
			_, err := m.Attach(ctx, first)
			must(t, err)
			must(t, m.Detach(ctx, first.UID, first.Card))
			before := h.state()

			var guests []*guest
			var addresses []netip.Addr
			var cards []cni.Attachment
			for i, name := range []string{"one", "two"} {
				a := vm(name, "net0", "net8")
				a.MAC = fmt.Sprintf("52:54:00:00:08:%02x", i+1)
				start := time.Now()
				r, err := m.Attach(ctx, a)
				must(t, err)
				t.Logf("attached in %s: %+v", time.Since(start).Round(time.Millisecond), r)
				if r.MAC != a.MAC {
					t.Errorf("the card has %s, not %s as asked for", r.MAC, a.MAC)
				}
				g := h.boot(name, r)
				start = time.Now()
				ack := g.dhcp()
				t.Logf("lease in %s: %s %v", time.Since(start).Round(time.Microsecond), ack, ack.ClasslessStaticRoute())
				if got := r.IPv4().Addr().String(); ack.YourIPAddr.String() != got {
					t.Errorf("the guest was told %s, and the card has %s", ack.YourIPAddr, got)
				}
				if ack.HostName() != name {
					t.Errorf("the guest was called %q, not %q", ack.HostName(), name)
				}
				guests, addresses, cards = append(guests, g), append(addresses, r.IPv4().Addr()), append(cards, a)
			}
			router := netip.MustParseAddr(c.router)
			for i, g := range guests {
				g.reaches(router)
				g.reaches(addresses[1-i])
			}
			// The guests are on the wire, and what the plugin made is as it made it.
			for _, a := range cards {
				if err := m.Check(ctx, a.UID, a.Card); err != nil {
					t.Errorf("CHECK: %v", err)
				}
			}
			// Nothing of ours has to run for packets to go.
			m.Close()
			guests[0].reaches(addresses[1])
			for _, a := range cards {
				start := time.Now()
				must(t, m.Detach(ctx, a.UID, a.Card))
				t.Logf("detached in %s", time.Since(start).Round(time.Millisecond))
			}
			if after := h.state(); after != before {
				t.Errorf("something was left. Before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// A frame from another card's address does not leave the guest.
func TestAnotherMACDoesNotLeave(t *testing.T) {
	h := newHost(t)
	h.bridged("net7", 7)
	m := h.manager()
	r, err := m.Attach(context.Background(), vm("one", "net0", "net7"))
	must(t, err)
	g := h.boot("one", r)
	g.dhcp()
	router := netip.MustParseAddr("10.7.7.1")
	g.reaches(router)
	must(t, netspace.Do(g.space, func() error {
		link, err := netlink.LinkByName(g.link)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(link, net.HardwareAddr{0x52, 0x54, 0, 0xba, 0xdb, 0xad})
	}))
	if ping(t, g.space, router, 3*time.Second) {
		t.Error("the router answers a guest that took another address")
	}
}
