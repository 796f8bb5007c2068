package cni

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"domus.dev/domus/pkg/executor/cni"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// guest stands for a QEMU: it holds the tap open, and what comes by it is handed to a
// namespace in which Linux is the guest.
type guest struct {
	t     *testing.T
	space string
	link  string
	lease *nclient4.Lease
}

// boot plugs a guest into a card that is attached.
func (h *host) boot(name string, r cni.Result) *guest {
	h.t.Helper()
	g := &guest{t: h.t, space: h.newSpace("guest-" + name), link: "g0"}
	outside := h.tap(h.space, r.Tap)
	inside := h.tap(g.space, g.link)
	for _, way := range []struct{ to, from *os.File }{{outside, inside}, {inside, outside}} {
		go func() {
			frame := make([]byte, 65536)
			for {
				n, err := way.from.Read(frame)
				if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
					return
				}
				if err == nil {
					_, _ = way.to.Write(frame[:n])
				}
			}
		}()
	}
	must(h.t, netspace.Do(g.space, func() error {
		link, err := netlink.LinkByName(g.link)
		if err != nil {
			return err
		}
		mac, err := net.ParseMAC(r.MAC)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetHardwareAddr(link, mac); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	}))
	return g
}

// tap opens an interface as QEMU does; it is closed with the test.
func (h *host) tap(space, name string) *os.File {
	h.t.Helper()
	var file *os.File
	must(h.t, netspace.Do(space, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("opening tap %s: %w", name, err)
		}
		file = os.NewFile(uintptr(fd), name)
		return nil
	}))
	h.t.Cleanup(func() { _ = file.Close() })
	return file
}

// dhcp asks for an address and takes what it is told.
func (g *guest) dhcp() *dhcpv4.DHCPv4 {
	g.t.Helper()
	c := g.client()
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lease, err := c.Request(ctx)
	if err != nil {
		g.t.Fatalf("the guest got no lease: %v", err)
	}
	g.lease = lease
	g.take(lease.ACK)
	return lease.ACK
}

func (g *guest) client() *nclient4.Client {
	g.t.Helper()
	var c *nclient4.Client
	must(g.t, netspace.Do(g.space, func() (err error) {
		c, err = nclient4.New(g.link, nclient4.WithTimeout(200*time.Millisecond), nclient4.WithRetry(50))
		return err
	}))
	return c
}

// take configures the guest as a client that knows RFC 3442 does.
func (g *guest) take(m *dhcpv4.DHCPv4) {
	g.t.Helper()
	must(g.t, netspace.Do(g.space, func() error {
		link, err := netlink.LinkByName(g.link)
		if err != nil {
			return err
		}
		if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{IP: m.YourIPAddr, Mask: m.SubnetMask()}}); err != nil {
			return err
		}
		if routes := m.ClasslessStaticRoute(); routes != nil {
			for _, r := range routes {
				route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: r.Dest, Gw: r.Router}
				if r.Router.IsUnspecified() {
					route.Gw, route.Scope = nil, netlink.SCOPE_LINK
				}
				if err := netlink.RouteReplace(route); err != nil {
					return fmt.Errorf("adding %v: %w", r, err)
				}
			}
			return nil
		}
		if len(m.Router()) > 0 {
			return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: m.Router()[0]})
		}
		return nil
	}))
}

// ping says whether an address answers from a namespace, and tries for a while.
func ping(t *testing.T, space string, to netip.Addr, patience time.Duration) bool {
	t.Helper()
	var conn *icmp.PacketConn
	must(t, netspace.Do(space, func() (err error) {
		conn, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	}))
	defer func() { _ = conn.Close() }()
	end := time.Now().Add(patience)
	buffer := make([]byte, 1500)
	for i := 0; time.Now().Before(end); i++ {
		echo := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: i, Data: make([]byte, 1000)}}
		data, err := echo.Marshal(nil)
		must(t, err)
		if _, err := conn.WriteTo(data, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				break
			}
			m, err := icmp.ParseMessage(1, buffer[:n])
			if err == nil && m.Type == ipv4.ICMPTypeEchoReply && from.String() == to.String() {
				return true
			}
		}
	}
	return false
}

// reaches fails the test if the guest does not reach an address.
func (g *guest) reaches(to netip.Addr) {
	g.t.Helper()
	if !ping(g.t, g.space, to, patience) {
		g.t.Fatalf("%s does not answer the guest in %s", to, g.space)
	}
}
