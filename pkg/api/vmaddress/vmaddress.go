// Package vmaddress says by which of its addresses a VM is reached: by Services, and
// by its host's probes. It is pure.
//
// What a guest says of its own addresses is not taken for true where others would be
// sent by it: on a network of type cni those count that the plugin gave, and no
// others. On networks that only a privileged namespace may have (routed, bridge,
// direct) those count that were seen. A network of type nat or isolated has the same
// addresses on every host, chosen by whoever made it: its VMs are reached from their
// own host alone.
package vmaddress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ErrNotYet is what a VM's card has no address for in time: there may be one soon.
var ErrNotYet = errors.New("not yet")

// Networks returns a VirtualNetwork of the VM's namespace; nil when there is none.
type Networks func(name string) *v1alpha1.VirtualNetwork

// Address is how a VM is reached.
type Address struct {
	// Card is in spec.interfaces, and Network what it is on.
	Card    string
	Network *v1alpha1.VirtualNetwork
	// IPv4 and IPv6 are not valid where the card has none.
	IPv4, IPv6 netip.Addr
}

// IPs are the addresses that there are, IPv4 first.
func (a Address) IPs() (out []netip.Addr) {
	for _, ip := range []netip.Addr{a.IPv4, a.IPv6} {
		if ip.IsValid() {
			out = append(out, ip)
		}
	}
	return out
}

// byDefault are the types of networks whose addresses others than the host reach, in
// the order in which a card is looked for.
var byDefault = []v1alpha1.NetworkType{v1alpha1.NetworkCNI, v1alpha1.NetworkRouted, v1alpha1.NetworkBridge, v1alpha1.NetworkDirect}

// ofHost are those of which the host alone knows the way.
var ofHost = []v1alpha1.NetworkType{v1alpha1.NetworkNAT, v1alpha1.NetworkIsolated}

// ForService is how a Service reaches the VM: by its card on the network named, or
// else by its first card on a network that leads beyond the host. privileged says that
// the namespace is of that policy level. An error says, to a person, why there is no
// such address; that is decided by what the VM's cards are on alone, never by which of
// them has an address already.
func ForService(vm *v1alpha1.VirtualMachine, networks Networks, named string, privileged bool) (Address, error) {
	if len(vm.Spec.Interfaces) == 0 {
		return Address{}, fmt.Errorf("it has no card in spec.interfaces: cards in spec.domain have no addresses that are known")
	}
	card, network := "", (*v1alpha1.VirtualNetwork)(nil)
	if named != "" {
		for _, c := range vm.Spec.Interfaces {
			if c.NetworkName == named {
				card, network = c.Name, networks(named)
				break
			}
		}
		if card == "" {
			return Address{}, fmt.Errorf("it has no card on VirtualNetwork %s: add one to spec.interfaces", named)
		}
		if network == nil {
			return Address{}, fmt.Errorf("there is no VirtualNetwork %s: create it", named)
		}
	} else if card, network = first(vm, networks, byDefault); network == nil {
		return Address{}, fmt.Errorf("none of its cards is on a network of type cni, routed, bridge or direct: addresses of nat and isolated ones are known on their host alone")
	}
	if network.Spec.Type != v1alpha1.NetworkCNI && !privileged {
		return Address{}, fmt.Errorf("VirtualNetwork %s is of type %s, where guests choose their addresses: Services lead there in namespaces labelled %s=%s alone; use a network of type cni",
			network.Name, network.Spec.Type, v1alpha1.PolicyLevelLabel, v1alpha1.PolicyPrivileged)
	}
	a, err := on(vm, card, network)
	if err != nil {
		return Address{}, err
	}
	return a, nil
}

// ForProbe is how the VM's host reaches it: by the card named, or else as Services do
// by default, or else by its first card on a network of the host's own. Devices of
// type direct do not let the host through to their guests.
func ForProbe(vm *v1alpha1.VirtualMachine, networks Networks, named string) (Address, error) {
	card, network := "", (*v1alpha1.VirtualNetwork)(nil)
	if named != "" {
		at := slices.IndexFunc(vm.Spec.Interfaces, func(c v1alpha1.VirtualMachineInterface) bool { return c.Name == named })
		if at < 0 {
			return Address{}, fmt.Errorf("spec.readinessProbe.interfaceName: there is no card %s in spec.interfaces", named)
		}
		card = named
		if network = networks(vm.Spec.Interfaces[at].NetworkName); network == nil {
			return Address{}, fmt.Errorf("there is no VirtualNetwork %s: create it", vm.Spec.Interfaces[at].NetworkName)
		}
	} else if card, network = first(vm, networks, slices.Concat(byDefault, ofHost)); network == nil {
		return Address{}, fmt.Errorf("it has no card on a VirtualNetwork that there is: see spec.interfaces")
	}
	if network.Spec.Type == v1alpha1.NetworkDirect {
		return Address{}, fmt.Errorf("card %s is on VirtualNetwork %s of type direct, whose guests their host does not reach: name another card in spec.readinessProbe.interfaceName", card, network.Name)
	}
	return on(vm, card, network)
}

// first is the first card on a network of the earliest of the types.
func first(vm *v1alpha1.VirtualMachine, networks Networks, types []v1alpha1.NetworkType) (string, *v1alpha1.VirtualNetwork) {
	for _, t := range types {
		for _, c := range vm.Spec.Interfaces {
			if n := networks(c.NetworkName); n != nil && n.Spec.Type == t {
				return c.Name, n
			}
		}
	}
	return "", nil
}

// on is what is known of the card's addresses.
func on(vm *v1alpha1.VirtualMachine, card string, network *v1alpha1.VirtualNetwork) (Address, error) {
	at := slices.IndexFunc(vm.Status.Interfaces, func(i v1alpha1.InterfaceStatus) bool {
		return i.Name == card && i.NetworkName == network.Name
	})
	if at < 0 {
		return Address{}, fmt.Errorf("its guest has no card %s: %w", card, ErrNotYet)
	}
	texts, accept, hint := vm.Status.Interfaces[at].Addresses, func(netip.Addr) bool { return true }, ""
	switch network.Spec.Type {
	case v1alpha1.NetworkCNI:
		texts = vm.Status.Interfaces[at].Assigned
		hint = " that a CNI plugin gave it, and no other counts,"
	case v1alpha1.NetworkNAT, v1alpha1.NetworkIsolated, v1alpha1.NetworkRouted:
		accept = within(network.Spec.Subnets)
		hint = " in the network's subnets"
	}
	a := Address{Card: card, Network: network}
	for _, text := range texts {
		ip, err := netip.ParseAddr(text)
		if err != nil || !usable(ip) || !accept(ip) {
			continue
		}
		// Of several the lowest, so that it stays the same as long as it is there;
		// a plugin's in its own order.
		for _, have := range []*netip.Addr{&a.IPv4, &a.IPv6} {
			if (have == &a.IPv4) == ip.Is4() && (!have.IsValid() || network.Spec.Type != v1alpha1.NetworkCNI && ip.Less(*have)) {
				*have = ip
			}
		}
	}
	if len(a.IPs()) == 0 {
		return Address{}, fmt.Errorf("its card %s has no address%s on VirtualNetwork %s: %w", card, hint, network.Name, ErrNotYet)
	}
	return a, nil
}

// usable says whether the address can be an endpoint's. The API server refuses a whole
// EndpointSlice in which one is not.
func usable(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.Is4In6() && ip.Zone() == ""
}

// within accepts the addresses in the subnets, but for those of the hosts.
func within(subnets []v1alpha1.NetworkSubnet) func(netip.Addr) bool {
	var prefixes []netip.Prefix
	for _, s := range subnets {
		if p, err := netip.ParsePrefix(s.Address); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return func(ip netip.Addr) bool {
		inside := false
		for _, p := range prefixes {
			if ip == p.Addr() {
				return false
			}
			inside = inside || p.Contains(ip)
		}
		return inside
	}
}
