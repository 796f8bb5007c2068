package machine

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/pkg/executor/cni/netspace"
)

// uplink is the interface by which a host reaches the other one.
const uplink = "uplink"

// address is the host's own on the network between hosts, and pods the subnet that
// its CNI gives addresses of.
func address(number int) net.IP { return net.IPv4(10, 245, 0, byte(number)) }

func pods(number int) *net.IPNet {
	return &net.IPNet{IP: net.IPv4(10, 244, byte(number-1), 0).To4(), Mask: net.CIDRMask(24, 32)}
}

// Join puts two hosts on one network, with routes to each other's guests on CNI, as
// an administrator or a daemon of the network's does. What is there is left as it is;
// it goes with either host.
func Join(first, second layout.Layout) error {
	var ends []*netlink.Handle
	for _, l := range []layout.Layout{first, second} {
		h, err := netspace.Handle(l.HostNetwork())
		if err != nil {
			return err
		}
		defer h.Close()
		ends = append(ends, h)
	}
	if err := plug(ends, second); err != nil {
		return fmt.Errorf("joining the hosts: %w", err)
	}
	for i, h := range ends {
		if err := lead(h, i+1, len(ends)-i); err != nil {
			return fmt.Errorf("joining host %d: %w", i+1, err)
		}
	}
	return nil
}

// plug makes the cable unless both hosts have their end of it. One end alone is that
// of a host that is gone.
func plug(ends []*netlink.Handle, second layout.Layout) error {
	there := 0
	for _, h := range ends {
		_, err := h.LinkByName(uplink)
		var none netlink.LinkNotFoundError
		switch {
		case err == nil:
			there++
		case !errors.As(err, &none):
			return err
		}
	}
	if there == len(ends) {
		return nil
	}
	for _, h := range ends {
		if link, err := h.LinkByName(uplink); err == nil {
			if err := h.LinkDel(link); err != nil {
				return err
			}
		}
	}
	space, err := netns.GetFromPath(second.HostNetwork())
	if err != nil {
		return err
	}
	defer func() { _ = space.Close() }()
	return ends[0].LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: uplink}, PeerName: uplink, PeerNamespace: netlink.NsFd(space),
	})
}

// lead gives a host its address and the way to the guests of the other.
func lead(h *netlink.Handle, number, other int) error {
	link, err := h.LinkByName(uplink)
	if err != nil {
		return err
	}
	if err := h.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{IP: address(number), Mask: net.CIDRMask(24, 32)}}); err != nil {
		return err
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	return h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: pods(other), Gw: address(other)})
}
