// Package reach says which hosts can serve a VirtualNetwork, by the interfaces that
// they have. It is pure: the scheduler and the hosts reckon by the same rules.
package reach

import (
	"fmt"
	"slices"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Need is what a network needs of a host. It is made once, and compared with many
// hosts.
type Need struct {
	// bridge must be there, of a kind that knows VLANs where tagged is true.
	bridge string
	tagged bool
	// devices: one of them must be there.
	devices []string
	// free is the name of a bridge that the network makes, which nothing else on the
	// host may have.
	free string
	// cni is the name of a CNI configuration that must be there.
	cni string
	// plugins are types of CNI plugins that all must be there.
	plugins []string
	// undefined says that it is not known what the network needs.
	undefined bool

	// The words for hosts that do not have it, each for one of the above.
	noBridge, notTagged, noDevice, notFree, noCNI, noPlugins, notDefined []string
}

// Of is what the network needs of hosts.
func Of(n *v1alpha1.VirtualNetwork) Need {
	out := Need{}
	words := func(format string, args ...any) []string {
		return []string{"host(s) have " + fmt.Sprintf(format, args...) + ", as VirtualNetwork " + n.Name + " needs"}
	}
	switch n.Spec.Type {
	case v1alpha1.NetworkBridge:
		out.bridge, out.tagged = n.Spec.BridgeName, n.Spec.VLAN != nil
		out.noBridge = words("no bridge %s", out.bridge)
		out.notTagged = words("bridge %s as one of Linux', and not of Open vSwitch's, which knows VLANs", out.bridge)
	case v1alpha1.NetworkDirect:
		if d := n.Spec.Direct; d != nil {
			out.devices = d.Devices
		}
		out.noDevice = words("none of the devices %s", strings.Join(out.devices, ", "))
	case v1alpha1.NetworkCNI:
		name, config := n.CNI()
		switch {
		case name == "":
			out.undefined = true
			out.notDefined = []string{"host(s) wait for a NetworkAttachmentDefinition that can be used: VirtualNetwork " + n.Name + " says what is wrong in its status"}
		case config != "":
			out.plugins = n.Status.Definition.Plugins
			out.noPlugins = words("not all of the CNI plugins %s for NetworkAttachmentDefinitions", strings.Join(out.plugins, ", "))
		default:
			out.cni = name
			out.noCNI = words("no CNI configuration %s for VMs", out.cni)
		}
	case v1alpha1.NetworkNAT, v1alpha1.NetworkRouted, v1alpha1.NetworkIsolated:
		if n.Spec.Device != "" {
			out.devices = []string{n.Spec.Device}
			out.noDevice = words("no device %s", n.Spec.Device)
		}
		if n.Spec.BridgeName != "" {
			out.free = n.Spec.BridgeName
			out.notFree = words("an interface %s of their own already, and no bridge of that name to be made", out.free)
		}
	}
	return out
}

// Any says whether any host will do.
func (n *Need) Any() bool {
	return n.bridge == "" && len(n.devices) == 0 && n.free == "" && n.cni == "" && len(n.plugins) == 0 && !n.undefined
}

// Lacks is why the host will not do, as a reason that is counted over hosts; nil
// when it will. It allocates nothing.
func (n *Need) Lacks(host *v1alpha1.HypervisorStatus) []string {
	if n.bridge != "" {
		switch has := host.Interface(n.bridge); {
		case has == nil || has.Type == v1alpha1.InterfaceDevice:
			return n.noBridge
		case n.tagged && has.Type == v1alpha1.InterfaceBridge:
			return n.notTagged
		}
	}
	if len(n.devices) > 0 && !slices.ContainsFunc(n.devices, func(name string) bool { return host.Interface(name) != nil }) {
		return n.noDevice
	}
	if n.free != "" && host.Interface(n.free) != nil {
		return n.notFree
	}
	if n.cni != "" && !slices.Contains(host.CNINetworks, n.cni) {
		return n.noCNI
	}
	for _, plugin := range n.plugins {
		if !slices.Contains(host.CNIPlugins, plugin) {
			return n.noPlugins
		}
	}
	if n.undefined {
		return n.notDefined
	}
	return nil
}

// Equal says whether two needs are met by the same hosts.
func (n *Need) Equal(o *Need) bool {
	return n.bridge == o.bridge && n.tagged == o.tagged && n.free == o.free && n.cni == o.cni && n.undefined == o.undefined && slices.Equal(n.plugins, o.plugins) && slices.Equal(n.devices, o.devices)
}
