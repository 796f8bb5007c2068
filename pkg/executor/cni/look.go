package cni

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"domus.dev/domus/pkg/executor/cni/netspace"
)

// look reads a card in the VM's namespace; nil when there is none, or no namespace.
func look(space, card string) (*view, error) {
	there, err := netspace.Exists(space)
	if err != nil || !there {
		return nil, err
	}
	h, err := netspace.Handle(space)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	link, err := h.LinkByName(card)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at card %s: %w", card, err)
	}
	v := &view{mac: link.Attrs().HardwareAddr.String(), mtu: link.Attrs().MTU}
	addresses, err := netspace.Whole(func() ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("looking at the addresses of card %s: %w", card, err)
	}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if ok {
			v.addresses = append(v.addresses, netip.PrefixFrom(ip.Unmap(), bits))
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netspace.Whole(func() ([]netlink.Route, error) { return h.RouteList(link, family) })
		if err != nil {
			return nil, fmt.Errorf("looking at the routes of card %s: %w", card, err)
		}
		for i := range routes {
			if r, ok := route(&routes[i], family); ok {
				v.routes = append(v.routes, r)
			}
		}
	}
	return v, nil
}

// route leaves out what is no way to a destination.
func route(r *netlink.Route, family int) (Route, bool) {
	if r.Table != unix.RT_TABLE_MAIN || r.Type != unix.RTN_UNICAST {
		return Route{}, false
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if family == netlink.FAMILY_V6 {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	to := all
	if r.Dst != nil {
		ip, ok := netip.AddrFromSlice(r.Dst.IP)
		if !ok {
			return Route{}, false
		}
		bits, _ := r.Dst.Mask.Size()
		to = netip.PrefixFrom(ip.Unmap(), bits)
		if bits == 0 {
			to = all
		}
	}
	via, _ := netip.AddrFromSlice(r.Gw)
	return Route{To: to, Via: via.Unmap()}, true
}
