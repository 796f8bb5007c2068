package objects

import (
	"net"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// networkSubnets is all <ip>, where none says more than the fields do: a subnet
// with leases of its own, with boot files or TFTP leaves the list in the rest as
// a whole. Written out, IPv4 has a netmask and IPv6 a prefix, as libvirt's own
// examples have them.
var networkSubnets = networkConcern{
	lift: func(doc *libvirtxml.Network, n *v1alpha1.VirtualNetwork) {
		if !makesBridge(n.Spec.Type) {
			return
		}
		var out []v1alpha1.NetworkSubnet
		for i := range doc.IPs {
			subnet, ok := subnetOf(&doc.IPs[i])
			if !ok {
				return
			}
			out = append(out, subnet)
		}
		n.Spec.Subnets, doc.IPs = out, nil
	},
	lower: func(n *v1alpha1.VirtualNetwork, doc *libvirtxml.Network) field.ErrorList {
		if len(n.Spec.Subnets) == 0 {
			return nil
		}
		if len(doc.IPs) > 0 {
			return field.ErrorList{givenTwice(networkPath.Child("ips"), field.OmitValueType{}, "spec.subnets")}
		}
		var errs field.ErrorList
		for i := range n.Spec.Subnets {
			at := field.NewPath("spec", "subnets").Index(i)
			prefix, err := netip.ParsePrefix(n.Spec.Subnets[i].Address)
			if err != nil {
				errs = append(errs, field.Invalid(at.Child("address"), n.Spec.Subnets[i].Address, "must be an address with the length of its prefix, such as 192.168.122.1/24"))
				continue
			}
			doc.IPs = append(doc.IPs, ipOf(prefix, n.Spec.Subnets[i].DHCP))
		}
		return errs
	},
}

// subnetOf reads an <ip> that has an address and a mask.
func subnetOf(ip *libvirtxml.NetworkIP) (v1alpha1.NetworkSubnet, bool) {
	var none v1alpha1.NetworkSubnet
	address, err := netip.ParseAddr(ip.Address)
	if err != nil || address.Zone() != "" || ip.LocalPtr != "" || ip.TFTP != nil {
		return none, false
	}
	bits := int(ip.Prefix)
	if ip.Netmask != "" {
		mask, err := netip.ParseAddr(ip.Netmask)
		if err != nil || ip.Prefix != 0 || mask.Is4() != address.Is4() {
			return none, false
		}
		ones, size := net.IPMask(mask.AsSlice()).Size()
		if size == 0 {
			return none, false
		}
		bits = ones
	}
	if bits == 0 || bits > address.BitLen() || ip.Family != "" && (ip.Family == "ipv6") != address.Is6() {
		return none, false
	}
	out := v1alpha1.NetworkSubnet{Address: netip.PrefixFrom(address, bits).String()}
	if ip.DHCP == nil {
		return out, true
	}
	if len(ip.DHCP.Bootp) > 0 {
		return none, false
	}
	out.DHCP = &v1alpha1.NetworkDHCP{}
	for _, r := range ip.DHCP.Ranges {
		if r.Lease != nil {
			return none, false
		}
		out.DHCP.Ranges = append(out.DHCP.Ranges, v1alpha1.AddressRange{Start: r.Start, End: r.End})
	}
	for _, h := range ip.DHCP.Hosts {
		if h.Lease != nil || h.ID != "" {
			return none, false
		}
		out.DHCP.Hosts = append(out.DHCP.Hosts, v1alpha1.DHCPHost{MAC: h.MAC, Name: h.Name, IP: h.IP})
	}
	return out, true
}

// ipOf writes a subnet as libvirt does.
func ipOf(prefix netip.Prefix, dhcp *v1alpha1.NetworkDHCP) libvirtxml.NetworkIP {
	ip := libvirtxml.NetworkIP{Address: prefix.Addr().String()}
	if prefix.Addr().Is4() {
		ip.Netmask = net.IP(net.CIDRMask(prefix.Bits(), 32)).String()
	} else {
		ip.Family, ip.Prefix = "ipv6", uint(prefix.Bits())
	}
	if dhcp == nil {
		return ip
	}
	ip.DHCP = &libvirtxml.NetworkDHCP{}
	for _, r := range dhcp.Ranges {
		ip.DHCP.Ranges = append(ip.DHCP.Ranges, libvirtxml.NetworkDHCPRange{Start: r.Start, End: r.End})
	}
	for _, h := range dhcp.Hosts {
		ip.DHCP.Hosts = append(ip.DHCP.Hosts, libvirtxml.NetworkDHCPHost{MAC: h.MAC, Name: h.Name, IP: h.IP})
	}
	return ip
}
