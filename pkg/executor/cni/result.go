package cni

import (
	"cmp"
	"net/netip"
	"slices"

	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// view is a card as the kernel has it in the VM's namespace.
type view struct {
	mac       string
	mtu       int
	addresses []netip.Prefix
	// routes are the main table's by the card, those to on-link prefixes among them.
	routes []Route
}

// translate makes of a card what its guest is to have. What the kernel has counts
// before what the plugin answered: ptp, for one, takes the route to the subnet away
// and does not say so, and its guest must not look for neighbours there.
func translate(v view, said *types100.Result) Result {
	r := Result{MAC: v.mac, MTU: v.mtu}
	onLink := map[netip.Prefix]bool{}
	for _, route := range v.routes {
		if !route.Via.IsValid() {
			onLink[route.To] = true
		}
	}
	own := map[netip.Prefix]bool{}
	for _, a := range v.addresses {
		if a.Addr().IsLinkLocalUnicast() && a.Addr().Is6() {
			continue // the guest makes its own
		}
		if !onLink[a.Masked()] {
			a = netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
		}
		own[a.Masked()] = true
		r.Addresses = append(r.Addresses, a)
	}
	for _, route := range v.routes {
		local := !route.Via.IsValid() && own[route.To]
		if local || route.To.Addr().IsMulticast() || route.To.Addr().Is6() && route.To.Addr().IsLinkLocalUnicast() {
			continue
		}
		r.Routes = append(r.Routes, route)
	}
	// Routers that are on no prefix first, then what is nearer before the default.
	slices.SortStableFunc(r.Routes, func(a, b Route) int {
		if a.Via.IsValid() != b.Via.IsValid() {
			if b.Via.IsValid() {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.To.Bits(), a.To.Bits())
	})
	if said != nil {
		r.DNS = dns(said)
	}
	return r
}

// dns leaves out what is no address.
func dns(said *types100.Result) DNS {
	d := DNS{Domain: said.DNS.Domain, Search: said.DNS.Search}
	for _, server := range said.DNS.Nameservers {
		if a, err := netip.ParseAddr(server); err == nil {
			d.Nameservers = append(d.Nameservers, a)
		}
	}
	return d
}
