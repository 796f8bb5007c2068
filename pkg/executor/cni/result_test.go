package cni

import (
	"net/netip"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func to(prefix, via string) Route {
	r := Route{To: netip.MustParsePrefix(prefix)}
	if via != "" {
		r.Via = netip.MustParseAddr(via)
	}
	return r
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
var comparePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestTranslate(t *testing.T) {
	for name, c := range map[string]struct {
		in   view
		want Result
	}{
		"bridge: neighbours on the prefix": {
			view{addresses: prefixes("10.1.2.3/24"), routes: []Route{to("0.0.0.0/0", "10.1.2.1"), to("10.1.2.0/24", "")}},
			Result{Addresses: prefixes("10.1.2.3/24"), Routes: []Route{to("0.0.0.0/0", "10.1.2.1")}},
		},
		"ptp: all goes by the router, which is on no prefix": {
			view{addresses: prefixes("10.1.2.3/24"), routes: []Route{to("0.0.0.0/0", "10.1.2.1"), to("10.1.2.0/24", "10.1.2.1"), to("10.1.2.1/32", "")}},
			Result{Addresses: prefixes("10.1.2.3/32"), Routes: []Route{to("10.1.2.1/32", ""), to("10.1.2.0/24", "10.1.2.1"), to("0.0.0.0/0", "10.1.2.1")}},
		},
		"a router of a link-local address": {
			view{addresses: prefixes("10.1.2.3/32"), routes: []Route{to("0.0.0.0/0", "169.254.1.1"), to("169.254.1.1/32", "")}},
			Result{Addresses: prefixes("10.1.2.3/32"), Routes: []Route{to("169.254.1.1/32", ""), to("0.0.0.0/0", "169.254.1.1")}},
		},
		"IPv6 beside IPv4; link-local addresses are the guest's affair": {
			view{addresses: prefixes("10.1.2.3/24", "fd00::3/64", "fe80::1/64"), routes: []Route{to("10.1.2.0/24", ""), to("fd00::/64", ""), to("fe80::/64", ""), to("::/0", "fd00::1"), to("ff00::/8", "")}},
			Result{Addresses: prefixes("10.1.2.3/24", "fd00::3/64"), Routes: []Route{to("::/0", "fd00::1")}},
		},
		"no addresses are given out": {view{mac: "52:54:00:00:00:01", mtu: 9000}, Result{MAC: "52:54:00:00:00:01", MTU: 9000}},
	} {
		if diff := cmp.Diff(c.want, translate(c.in, nil), compareAddr, comparePrefix); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTranslateDNS(t *testing.T) {
	got := translate(view{}, &types100.Result{DNS: types.DNS{Nameservers: []string{"10.1.2.1", "not an address"}, Domain: "guests.test", Search: []string{"test"}}})
	want := DNS{Nameservers: []netip.Addr{netip.MustParseAddr("10.1.2.1")}, Domain: "guests.test", Search: []string{"test"}}
	if diff := cmp.Diff(want, got.DNS, compareAddr); diff != "" {
		t.Error(diff)
	}
}

func TestGateway(t *testing.T) {
	r := Result{Routes: []Route{to("10.0.0.0/8", "10.1.2.9"), to("0.0.0.0/0", "10.1.2.1"), to("::/0", "fd00::1")}}
	if r.Gateway(false) != netip.MustParseAddr("10.1.2.1") || r.Gateway(true) != netip.MustParseAddr("fd00::1") {
		t.Errorf("gateways are %s and %s", r.Gateway(false), r.Gateway(true))
	}
	if (Result{}).Gateway(false).IsValid() {
		t.Error("a card without routes has a gateway")
	}
}
