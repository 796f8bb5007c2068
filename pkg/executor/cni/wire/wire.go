// Package wire leads a guest's frames between the tap that QEMU opens in the
// host's network namespace and a card in the VM's:
//
//	host:  tap ── outer      VM's namespace:  inner ── card
//	               └────────── veth ───────────┘
//
// The kernel redirects what comes in by one to the other of each pair (traffic
// control, mirred). No bridge learns, no address is moved, the card stays as its
// maker left it, and no process is needed.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// ErrForeign says that an interface of a name that is needed is not ours.
var ErrForeign = errors.New("there is an interface of that name that is another's: remove it, or move it to another network namespace")

// ErrNoCard says that the card is not in the VM's namespace.
var ErrNoCard = errors.New("it is not in the VM's network namespace")

// Wire is one card's.
type Wire struct {
	// HostSpace and Space are the paths of the namespaces; HostSpace may be empty:
	// that of this process.
	HostSpace, Space string
	// Tap and Outer are names in the host's namespace, Inner and Card in the VM's.
	Tap, Outer, Inner, Card string
	// Alias tells people, and us, whose the interfaces are.
	Alias string
	// MAC is the guest's. The card has it, or is given it where the kernel allows.
	MAC net.HardwareAddr
	// Served is set where Domus gives the guest its address by DHCP.
	Served bool
	// Queues are how many QEMU opens; a tap is made for one, or for several.
	Queues int
}

// SetMAC gives the card an address and returns the one that it has then: not every
// kind of interface can be given one.
func SetMAC(space, card string, mac net.HardwareAddr) (net.HardwareAddr, error) {
	h, err := netspace.Handle(space)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	link, err := h.LinkByName(card)
	if err != nil {
		return nil, fmt.Errorf("finding card %s: %w: %w", card, ErrNoCard, err)
	}
	had := link.Attrs().HardwareAddr
	if len(mac) == 0 || bytes.Equal(had, mac) {
		return had, nil
	}
	if h.LinkSetHardwareAddr(link, mac) != nil {
		return had, nil
	}
	return mac, nil
}

// Ensure makes what is missing and leaves what is right as it is: a guest may be
// using it.
func (w Wire) Ensure() error {
	host, err := netspace.Handle(w.HostSpace)
	if err != nil {
		return err
	}
	defer host.Close()
	inside, err := netspace.Handle(w.Space)
	if err != nil {
		return err
	}
	defer inside.Close()

	card, err := inside.LinkByName(w.Card)
	if err != nil {
		return fmt.Errorf("finding card %s: %w: %w", w.Card, ErrNoCard, err)
	}
	mtu := card.Attrs().MTU
	outer, inner, err := w.veth(host, inside, mtu)
	if err != nil {
		return fmt.Errorf("joining the VM's network namespace by %s: %w", w.Outer, err)
	}
	tap, err := w.tap(host)
	if err != nil {
		return fmt.Errorf("making tap %s: %w", w.Tap, err)
	}
	if err := w.quiet(); err != nil {
		return err
	}
	rules := plan(indexes{
		tap: tap.Attrs().Index, outer: outer.Attrs().Index, inner: inner.Attrs().Index, card: card.Attrs().Index,
	}, w.MAC, w.Served)
	// From the network to the guest, and what is the host's last: nothing of the
	// guest is to reach the host's own IP before the rules are there.
	for _, end := range []struct {
		in    *netlink.Handle
		link  netlink.Link
		rules []rule
	}{{inside, card, rules.card}, {inside, inner, rules.inner}, {host, outer, rules.outer}, {host, tap, rules.tap}} {
		if err := ensure(end.in, end.link, mtu, end.rules); err != nil {
			return fmt.Errorf("wiring %s: %w", end.link.Attrs().Name, err)
		}
	}
	// Groups of IPv6 that the guest listens to are its own affair.
	if card.Attrs().Allmulti == 0 {
		if err := inside.LinkSetAllmulticastOn(card); err != nil {
			return fmt.Errorf("letting %s take in all groups: %w", w.Card, err)
		}
	}
	return nil
}

// veth joins the two namespaces.
func (w Wire) veth(host, inside *netlink.Handle, mtu int) (outer, inner netlink.Link, err error) {
	outer, err = w.own(host, w.Outer, "veth")
	if err != nil {
		return nil, nil, err
	}
	inner, err = inside.LinkByName(w.Inner)
	if err != nil && !missing(err) {
		return nil, nil, err
	}
	if outer != nil && inner != nil {
		return outer, inner, nil
	}
	for _, half := range []struct {
		in   *netlink.Handle
		link netlink.Link
	}{{host, outer}, {inside, inner}} {
		if half.link == nil {
			continue
		}
		if err := half.in.LinkDel(half.link); err != nil && !missing(err) {
			return nil, nil, err
		}
	}
	space, err := os.Open(w.Space)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = space.Close() }()
	// Made at once in both namespaces: a crash leaves all of it, or nothing.
	if err := host.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: w.Outer, MTU: mtu, Alias: w.Alias},
		PeerName:  w.Inner, PeerNamespace: netlink.NsFd(int(space.Fd())),
	}); err != nil {
		return nil, nil, err
	}
	if outer, err = w.own(host, w.Outer, "veth"); err != nil {
		return nil, nil, err
	}
	inner, err = inside.LinkByName(w.Inner)
	return outer, inner, err
}

// own finds an interface and proves it ours by its mark, which it is given if a
// crash kept it from it; nil when there is none.
func (w Wire) own(h *netlink.Handle, name, kind string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	switch {
	case missing(err):
		return nil, nil
	case err != nil:
		return nil, err
	case link.Type() != kind, link.Attrs().Alias != w.Alias && link.Attrs().Alias != "":
		return nil, ErrForeign
	case link.Attrs().Alias == "":
		return link, h.LinkSetAlias(link, w.Alias)
	}
	return link, nil
}

// tap makes the interface that QEMU opens by its name. It stays when QEMU ends.
func (w Wire) tap(host *netlink.Handle) (netlink.Link, error) {
	tap, err := w.own(host, w.Tap, "tuntap")
	if err != nil || tap != nil {
		return tap, err
	}
	flags := netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR
	if w.Queues > 1 {
		flags |= netlink.TUNTAP_MULTI_QUEUE
	}
	// By ioctl, which minds the namespace of the thread and not of the handle.
	if err := netspace.Do(w.HostSpace, func() error {
		return netlink.LinkAdd(&netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: w.Tap}, Mode: netlink.TUNTAP_MODE_TAP, Flags: flags,
		})
	}); err != nil {
		return nil, err
	}
	return w.own(host, w.Tap, "tuntap")
}

// quiet keeps the kernel's own IPv6 from speaking on interfaces that only pass on, and
// from believing what is led nowhere.
func (w Wire) quiet() error {
	off := func(link string) netspace.Setting {
		return netspace.Setting{Name: "net/ipv6/conf/" + link + "/disable_ipv6", Value: "1"}
	}
	return errors.Join(
		netspace.Do(w.HostSpace, func() error { return netspace.Set(off(w.Tap), off(w.Outer)) }),
		netspace.Do(w.Space, func() error {
			return netspace.Set(off(w.Inner), netspace.Setting{Name: "net/ipv6/conf/lo/accept_ra", Value: "0"})
		}),
	)
}

// ensure gives an interface its rules, its size of packets, and sets it up.
func ensure(h *netlink.Handle, link netlink.Link, mtu int, rules []rule) error {
	at := link.Attrs()
	if at.MTU != mtu {
		if err := h.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("setting MTU %d: %w", mtu, err)
		}
	}
	if err := direct(h, link, rules); err != nil {
		return err
	}
	if at.Flags&net.FlagUp == 0 {
		return h.LinkSetUp(link)
	}
	return nil
}

// direct replaces the filters of an interface where they are not the rules. Frames
// that come in meanwhile are lost.
func direct(h *netlink.Handle, link netlink.Link, rules []rule) error {
	qdiscs, err := netspace.Whole(func() ([]netlink.Qdisc, error) { return h.QdiscList(link) })
	if err != nil {
		return fmt.Errorf("listing queueing disciplines: %w", err)
	}
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	for _, q := range qdiscs {
		if q.Attrs().Parent != netlink.HANDLE_INGRESS {
			continue
		}
		filters, err := netspace.Whole(func() ([]netlink.Filter, error) {
			return h.FilterList(link, netlink.MakeHandle(0xffff, 0))
		})
		if err != nil {
			return fmt.Errorf("listing filters: %w", err)
		}
		if same(rules, filters) {
			return nil
		}
		// A plugin's own, such as bandwidth's, is on its own interface, not on these.
		if err := h.QdiscDel(q); err != nil {
			return fmt.Errorf("removing filters: %w", err)
		}
	}
	if err := h.QdiscAdd(ingress); err != nil {
		return fmt.Errorf("adding the ingress queueing discipline: %w", err)
	}
	for i, r := range rules {
		if err := h.FilterAdd(r.filter(link.Attrs().Index, i)); err != nil {
			return fmt.Errorf("adding filter %d: %w", i+1, err)
		}
	}
	return nil
}

// Remove takes away what Ensure made in the host's namespace; what is in the VM's
// goes with it. What is another's stays.
func (w Wire) Remove() error {
	host, err := netspace.Handle(w.HostSpace)
	if err != nil {
		return err
	}
	defer host.Close()
	for _, end := range []struct{ name, kind string }{{w.Tap, "tuntap"}, {w.Outer, "veth"}} {
		link, err := w.own(host, end.name, end.kind)
		if err == nil && link != nil {
			err = host.LinkDel(link)
		}
		if err != nil && !missing(err) && !errors.Is(err, ErrForeign) {
			return fmt.Errorf("removing %s: %w", end.name, err)
		}
	}
	return nil
}

func missing(err error) bool {
	var none netlink.LinkNotFoundError
	return errors.As(err, &none) || errors.Is(err, unix.ENODEV)
}
