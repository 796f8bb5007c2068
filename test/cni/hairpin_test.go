package cni

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// A guest that asks for a Service and is led back to itself, by rules as kube-proxy
// writes them, hears itself. Where the kernel has a bridge's frames go through
// iptables, they are led back while they are the bridge's still, and its port is to
// send back where it got them from.
func TestHairpin(t *testing.T) {
	bridge := func(more string) string {
		return `{"type": "bridge", "bridge": "br8", "isGateway": true, ` + more + ipam + `}`
	}
	const filter = "net/bridge/bridge-nf-call-iptables"
	for _, c := range []struct {
		name, plugin string
		// filtered is the kernel's setting for frames of bridges.
		filtered string
		want     bool
	}{
		{"bridge", bridge(""), "0", true},
		{"bridge in hairpin mode", bridge(`"hairpinMode": true, `), "0", true},
		{"ptp", `{"type": "ptp", ` + ipam + `}`, "0", true},
		{"filtered bridge", bridge(""), "1", false},
		{"filtered bridge in hairpin mode", bridge(`"hairpinMode": true, `), "1", true},
		{"filtered bridge in promiscuous mode", bridge(`"promiscMode": true, `), "1", false},
		{"ptp beside filtered bridges", `{"type": "ptp", ` + ipam + `}`, "1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			if _, err := os.Stat(filepath.Join("/proc/sys", filter)); err != nil && c.filtered == "1" {
				t.Skipf("the kernel of this machine does not filter bridges: not tried: %v", err)
			}
			must(t, netspace.Do(h.space, func() error {
				return netspace.Set(netspace.Setting{Name: filter, Value: c.filtered})
			}))
			h.network("net8", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net8", "plugins": [%s]}`, c.plugin))
			r, err := h.manager().Attach(context.Background(), vm("one", "net0", "net8"))
			must(t, err)
			g := h.boot("one", r)
			g.dhcp()
			g.reaches(r.Gateway(false))
			own := r.IPv4().Addr().String()
			h.rules(`
-t nat -A PREROUTING -d 10.99.0.1 -p tcp --dport 80 -s ` + own + ` -j MARK --or-mark 0x4000
-t nat -A PREROUTING -d 10.99.0.1 -p tcp --dport 80 -j DNAT --to-destination ` + own + `:8080
-t nat -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully`)
			g.answers("8080", "it is me")
			patience := patience
			if !c.want {
				patience = 3 * time.Second
			}
			if got := g.asks("10.99.0.1:80", patience); (got == "it is me") != c.want {
				t.Errorf("the guest hears %q", got)
			}
		})
	}
}

// Where a bridge sends frames back, a guest does not hear what it said to all: it would
// take its own question whether an address is taken for another's.
func TestHairpinAndDuplicateAddresses(t *testing.T) {
	h := newHost(t)
	h.network("net8", `{"cniVersion": "1.0.0", "name": "net8", "plugins": [{"type": "bridge", "bridge": "br8", "isGateway": true, "hairpinMode": true, `+ipam+`}]}`)
	m := h.manager()
	for i, want := range []bool{true, false} { // the second takes the address of the first
		r, err := m.Attach(context.Background(), vm(fmt.Sprint("guest-", i), "net0", "net8"))
		must(t, err)
		g := h.boot(fmt.Sprint(i), r)
		g.dhcp()
		g.reaches(r.Gateway(false))
		if got := g.claims("fd00:8::5/64"); got != want {
			t.Errorf("guest %d: may use an address: %t, want %t", i, got, want)
		}
	}
}

// claims has the guest take an address, as one that does not know its own questions
// (RFC 7527), and says whether it finds nobody else to have it.
func (g *guest) claims(address string) bool {
	g.t.Helper()
	for _, s := range []netspace.Setting{
		{Name: "net/ipv6/conf/all/enhanced_dad", Value: "0"}, {Name: "net/ipv6/conf/" + g.link + "/enhanced_dad", Value: "0"},
		{Name: "net/ipv6/conf/" + g.link + "/accept_dad", Value: "1"},
	} {
		must(g.t, netspace.Do(g.space, func() error { return netspace.Set(s) }))
	}
	handle, err := netspace.Handle(g.space)
	must(g.t, err)
	defer handle.Close()
	link, err := handle.LinkByName(g.link)
	must(g.t, err)
	a, err := netlink.ParseAddr(address)
	must(g.t, err)
	must(g.t, handle.AddrAdd(link, a))
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		have, err := handle.AddrList(link, netlink.FAMILY_V6)
		must(g.t, err)
		for _, b := range have {
			if b.IP.Equal(a.IP) && b.Flags&unix.IFA_F_TENTATIVE == 0 {
				return true
			} else if b.IP.Equal(a.IP) && b.Flags&unix.IFA_F_DADFAILED != 0 {
				return false
			}
		}
	}
	g.t.Fatalf("the guest never knows whether it may use %s", address)
	return false
}

// rules are added by iptables, a line each.
func (h *host) rules(all string) {
	h.t.Helper()
	for line := range strings.Lines(strings.TrimSpace(all)) {
		must(h.t, netspace.Do(h.space, func() error {
			out, err := exec.Command("iptables", strings.Fields(line)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("iptables %s: %w: %s", line, err, out)
			}
			return nil
		}))
	}
}

// answers has the guest say words to whoever connects to a port, until the test ends.
func (g *guest) answers(port, words string) {
	g.t.Helper()
	var listener net.Listener
	must(g.t, netspace.Do(g.space, func() (err error) {
		listener, err = net.Listen("tcp", ":"+port)
		return err
	}))
	g.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, words)
			_ = conn.Close()
		}
	}()
}

// asks is what the guest hears at an address, or nothing.
func (g *guest) asks(address string, patience time.Duration) string {
	g.t.Helper()
	var conn net.Conn
	err := netspace.Do(g.space, func() (err error) {
		conn, err = net.DialTimeout("tcp", address, patience)
		return err
	})
	if err != nil {
		g.t.Logf("asking %s: %v", address, err)
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	heard, err := io.ReadAll(conn)
	if err != nil {
		g.t.Logf("hearing %s: %v", address, err)
	}
	return string(heard)
}
