package networks

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

var testHost = &v1alpha1.HypervisorStatus{Interfaces: []v1alpha1.HostInterface{
	{Name: "br0", Type: v1alpha1.InterfaceBridge}, {Name: "br-int", Type: v1alpha1.InterfaceOVSBridge}, {Name: "eth1", Type: v1alpha1.InterfaceDevice},
}}

func defined(t *testing.T, n *v1alpha1.VirtualNetwork) (Definition, *libvirtxml.Network) {
	t.Helper()
	out, err := Define(n, "cluster", testHost)
	if err != nil {
		t.Fatal(err)
	}
	var doc libvirtxml.Network
	if err := doc.Unmarshal(out.XML); err != nil {
		t.Fatal(err)
	}
	return out, &doc
}

func TestANetworkIsNamedByNamespaceAndObject(t *testing.T) {
	out, doc := defined(t, virtualNetwork())
	if doc.Name != "shop.lan.vn-0b1c2d3e4f50" || doc.Bridge.Name != "vn0b1c2d3e4f50" || len(doc.Bridge.Name) > 15 {
		t.Errorf("%s on %s", doc.Name, doc.Bridge.Name)
	}
	if doc.Forward.Mode != "nat" || doc.IPs[0].Address != "192.168.77.1" || doc.IPs[0].DHCP.Ranges[0].End != "192.168.77.99" {
		t.Errorf("%s", out.XML)
	}
	mark, ours := ParseMark(doc.Metadata.XML)
	if !ours || mark != out.Mark || mark.Cluster != "cluster" || mark.Network != (types.NamespacedName{Namespace: "shop", Name: "lan"}) || mark.libvirtName() != doc.Name {
		t.Errorf("mark %+v of %s", mark, doc.Metadata.XML)
	}
	again, _ := defined(t, virtualNetwork())
	if again.XML != out.XML {
		t.Error("the same network has another definition each time")
	}
}

func TestWhatChangesADefinition(t *testing.T) {
	plain, _ := defined(t, virtualNetwork())
	moved, _ := defined(t, virtualNetwork(func(n *v1alpha1.VirtualNetwork) { n.Spec.Subnets[0].Address = "192.168.77.2/24" }))
	if moved.Mark.Print == plain.Mark.Print {
		t.Error("another subnet is the same definition")
	}
	fixed, _ := defined(t, virtualNetwork(func(n *v1alpha1.VirtualNetwork) {
		n.Spec.Subnets[0].DHCP.Hosts = []v1alpha1.DHCPHost{{MAC: "52:54:00:00:00:01", IP: "192.168.77.50"}}
	}))
	if fixed.Mark.Print != plain.Mark.Print || len(fixed.Hosts) != 1 || !strings.Contains(fixed.Hosts[0].Element, "192.168.77.50") {
		t.Errorf("a host with a fixed address: %+v", fixed.Hosts)
	}
	// What a user writes into annotations is no part of it, mark or not.
	marked, _ := defined(t, virtualNetwork(func(n *v1alpha1.VirtualNetwork) {
		n.Annotations = map[string]string{v1alpha1.MetadataAnnotation: `<domus:network xmlns:domus="https://domus.dev/v1alpha1" cluster="other"/>`}
	}))
	if marked.XML != plain.XML {
		t.Errorf("%s", marked.XML)
	}
}

func TestNetworksOfTheHostsOwnInterfaces(t *testing.T) {
	bridge := func(name string) func(*v1alpha1.VirtualNetwork) {
		return func(n *v1alpha1.VirtualNetwork) {
			n.Spec = v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkBridge, BridgeName: name, VLAN: &v1alpha1.NetworkVLAN{IDs: []int32{42}}}
		}
	}
	if _, doc := defined(t, virtualNetwork(bridge("br0"))); doc.Forward.Mode != "bridge" || doc.Bridge.Name != "br0" || doc.VirtualPort != nil {
		t.Errorf("%+v", doc)
	}
	_, doc := defined(t, virtualNetwork(bridge("br-int")))
	if doc.VirtualPort == nil || doc.VirtualPort.Params == nil || doc.VirtualPort.Params.OpenVSwitch == nil || doc.VLAN.Tags[0].ID != 42 {
		t.Errorf("a bridge of Open vSwitch's: %+v", doc.VirtualPort)
	}
	own, _ := json.Marshal(map[string]any{"virtualPort": map[string]any{"params": map[string]any{"openVSwitch": map[string]any{"profileID": "p"}}}})
	_, doc = defined(t, virtualNetwork(bridge("br-int"), func(n *v1alpha1.VirtualNetwork) { n.Spec.Network = &runtime.RawExtension{Raw: own} }))
	if doc.VirtualPort.Params.OpenVSwitch.ProfileID != "p" {
		t.Errorf("what the user said of it is lost: %+v", doc.VirtualPort.Params.OpenVSwitch)
	}
	_, doc = defined(t, virtualNetwork(func(n *v1alpha1.VirtualNetwork) {
		n.Spec = v1alpha1.VirtualNetworkSpec{Type: v1alpha1.NetworkDirect, Direct: &v1alpha1.DirectNetwork{Devices: []string{"eth9", "eth1"}, Mode: v1alpha1.DirectPrivate}}
	}))
	if doc.Forward.Mode != "private" || len(doc.Forward.Interfaces) != 1 || doc.Forward.Interfaces[0].Dev != "eth1" || doc.Bridge != nil {
		t.Errorf("devices that the host has not: %+v", doc.Forward)
	}
}

func TestMarksThatAreNone(t *testing.T) {
	good := Mark{Cluster: "c", Network: types.NamespacedName{Namespace: "n", Name: "m"}, UID: "u", Print: "p"}.XML()
	for name, text := range map[string]string{
		"nothing": "", "another's": `<x:network xmlns:x="urn:x" uid="u"/>`, "two": good + good, "broken": good[:len(good)-3],
		"no UID": Mark{Cluster: "c", Network: types.NamespacedName{Namespace: "n", Name: "m"}}.XML(),
	} {
		if mark, ours := ParseMark(text); ours {
			t.Errorf("%s: %+v", name, mark)
		}
	}
}

func TestWhichInterfacesNetworksCanLeadTo(t *testing.T) {
	got := describe([]libvirt.HostInterface{
		{Name: "br-int"}, {Name: "br0", Bridge: true}, {Name: "eth0"}, {Name: "macvtap3"}, {Name: "virbr0", Bridge: true},
		{Name: "vn0b1c2d3e4f50", Bridge: true}, {Name: "vnet2"},
	}, []libvirt.Network{
		{Name: "default", Bridge: "virbr0", XML: "<network><forward mode='nat'/><bridge name='virbr0'/></network>"},
		{Name: "lan", Bridge: "br0", XML: "<network><forward mode='bridge'/><bridge name='br0'/></network>"},
	}, []string{"br-int"})
	want := []v1alpha1.HostInterface{
		{Name: "br-int", Type: v1alpha1.InterfaceOVSBridge}, {Name: "br0", Type: v1alpha1.InterfaceBridge}, {Name: "eth0", Type: v1alpha1.InterfaceDevice},
	}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%+v", got)
	}
}
