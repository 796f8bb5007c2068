package networks

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/runtime"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/objects"
)

// Definition is a VirtualNetwork as a host is to have it.
type Definition struct {
	XML  string
	Mark Mark
	// Hosts are the cards that always get the same address.
	Hosts []DHCPHost
}

// DHCPHost is one of them.
type DHCPHost struct {
	// Subnet is the number of its subnet in the network, from 0.
	Subnet int
	// Element is the <host> element, in one notation.
	Element string
}

// Define makes the definition for a host with the interfaces. It is pure. An error
// is about the network, with paths in it.
func Define(n *v1alpha1.VirtualNetwork, cluster string, host *v1alpha1.HypervisorStatus) (out Definition, err error) {
	out.Mark = Mark{Cluster: cluster, UID: n.UID}
	out.Mark.Network.Namespace, out.Mark.Network.Name = n.Namespace, n.Name
	made := &v1alpha1.VirtualNetwork{Spec: *n.Spec.DeepCopy()}
	made.Namespace, made.Name, made.UID = n.Namespace, n.LibvirtName(), n.UID
	made.Spec.BridgeName = n.Bridge()
	if made.Spec.UUID == "" {
		// The same each time, or a definition could not replace another.
		made.Spec.UUID = uuid.NewSHA1(uuid.NameSpaceURL, []byte("domus.dev/virtualnetwork/"+string(n.UID))).String()
	}
	if d := made.Spec.Direct; d != nil {
		d.Devices = slices.DeleteFunc(d.Devices, func(name string) bool { return host.Interface(name) == nil })
	}
	if has := host.Interface(made.Spec.BridgeName); has != nil && has.Type == v1alpha1.InterfaceOVSBridge {
		if err := joinOVS(&made.Spec); err != nil {
			return out, err
		}
	}
	bare := made.DeepCopy()
	for i := range bare.Spec.Subnets {
		if d := bare.Spec.Subnets[i].DHCP; d != nil {
			d.Hosts = nil
		}
	}
	text, err := objects.ToXML(bare, objects.ToOptions{Bare: true})
	if err != nil {
		return out, err
	}
	sum := sha256.Sum256(text)
	out.Mark.Print = base64.RawURLEncoding.EncodeToString(sum[:12])
	made.Annotations = map[string]string{v1alpha1.MetadataAnnotation: out.Mark.XML()}
	if text, err = objects.ToXML(made, objects.ToOptions{Bare: true}); err != nil {
		return out, err
	}
	out.XML = string(text)
	out.Hosts, err = hostsIn(out.XML)
	return out, err
}

// joinOVS has the cards on the network joined to their bridge by Open vSwitch,
// unless the network says something of that itself.
func joinOVS(spec *v1alpha1.VirtualNetworkSpec) error {
	rest := map[string]any{}
	if spec.Network != nil && len(spec.Network.Raw) > 0 {
		if err := json.Unmarshal(spec.Network.Raw, &rest); err != nil {
			return fmt.Errorf("spec.network: %w", err)
		}
	}
	if _, given := rest["virtualPort"]; given {
		return nil
	}
	rest["virtualPort"] = map[string]any{"params": map[string]any{"openVSwitch": map[string]any{}}}
	raw, err := json.Marshal(rest)
	spec.Network = &runtime.RawExtension{Raw: raw}
	return err
}

// hostsIn lists the cards of a network's document that always get the same
// address, sorted.
func hostsIn(text string) (out []DHCPHost, err error) {
	var doc libvirtxml.Network
	if err := doc.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("reading a network: %w", err)
	}
	for i := range doc.IPs {
		if doc.IPs[i].DHCP == nil {
			continue
		}
		for _, h := range doc.IPs[i].DHCP.Hosts {
			element, err := xml.Marshal(struct {
				XMLName xml.Name `xml:"host"`
				libvirtxml.NetworkDHCPHost
			}{NetworkDHCPHost: h})
			if err != nil {
				return nil, fmt.Errorf("writing a host of a network: %w", err)
			}
			out = append(out, DHCPHost{Subnet: i, Element: string(element)})
		}
	}
	slices.SortFunc(out, func(a, b DHCPHost) int {
		return cmp.Or(cmp.Compare(a.Subnet, b.Subnet), cmp.Compare(a.Element, b.Element))
	})
	return out, nil
}
