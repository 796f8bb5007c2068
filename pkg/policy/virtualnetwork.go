package policy

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// restrictedNetworks are the types of networks that lead no further than the
// hosts' own addresses, or where somebody else says who may go.
var restrictedNetworks = []v1alpha1.NetworkType{v1alpha1.NetworkNAT, v1alpha1.NetworkIsolated, v1alpha1.NetworkCNI}

// CheckVirtualNetwork checks the spec of a network whose namespace has the level.
// The API server holds it against the same rules, in
// manifests/base/policy/virtualnetwork-spec.yaml; a host does so again, since the
// level may have changed.
func CheckVirtualNetwork(n *v1alpha1.VirtualNetwork, level v1alpha1.PolicyLevel) (errs field.ErrorList) {
	if level == v1alpha1.PolicyPrivileged {
		return nil
	}
	spec := field.NewPath("spec")
	forbid := func(key, why string) {
		errs = append(errs, field.Forbidden(spec.Child(key), "not allowed"+atRestricted+": "+why+remedy))
	}
	if !slices.Contains(restrictedNetworks, n.Spec.Type) {
		forbid("type", string(n.Spec.Type)+" leads into the networks of the hosts; choose nat, isolated or cni, ")
	}
	if n.Spec.Device != "" {
		forbid("device", "")
	}
	if n.Spec.BridgeName != "" {
		forbid("bridgeName", "hosts name the bridge after the network's UID, ")
	}
	if n.Spec.Network != nil {
		forbid("network", "")
	}
	for i, s := range n.Spec.Subnets {
		if p, err := netip.ParsePrefix(s.Address); err != nil || !private(p) {
			errs = append(errs, field.Forbidden(spec.Child("subnets").Index(i).Child("address"), s.Address+" is not allowed"+atRestricted+
				": hosts would have a route to it that others' addresses may need; take one of "+privateRanges()+", "+remedy))
		}
	}
	return errs
}

// privateSubnets are what subnets of users' networks must be in: addresses that mean
// something within a site alone. Source: RFC 1918, RFC 6598, RFC 4193.
var privateSubnets = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

func private(p netip.Prefix) bool {
	return slices.ContainsFunc(privateSubnets, func(in netip.Prefix) bool { return in.Bits() <= p.Bits() && in.Contains(p.Addr()) })
}

func privateRanges() string {
	names := make([]string, len(privateSubnets))
	for i, p := range privateSubnets {
		names[i] = p.String()
	}
	return strings.Join(names, " ")
}
