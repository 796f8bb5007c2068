package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// NetworkType says what a network leads to.
// +kubebuilder:validation:Enum=nat;isolated;routed;bridge;direct;cni
type NetworkType string

const (
	// NetworkNAT is a bridge of its own on each host, behind the host's address.
	NetworkNAT NetworkType = "nat"
	// NetworkIsolated is a bridge of its own that leads nowhere.
	NetworkIsolated NetworkType = "isolated"
	// NetworkRouted is a bridge of its own whose addresses the host routes.
	NetworkRouted NetworkType = "routed"
	// NetworkBridge is a bridge that the host's administrator made.
	NetworkBridge NetworkType = "bridge"
	// NetworkDirect is a device of the host itself, by macvtap.
	NetworkDirect NetworkType = "direct"
	// NetworkCNI is a network of Kubernetes'.
	NetworkCNI NetworkType = "cni"
)

// DirectMode says how the cards on one device see each other.
// +kubebuilder:validation:Enum=bridge;private;vepa;passthrough
type DirectMode string

// Modes of macvtap.
const (
	DirectBridge      DirectMode = "bridge"
	DirectPrivate     DirectMode = "private"
	DirectVEPA        DirectMode = "vepa"
	DirectPassthrough DirectMode = "passthrough"
)

// DirectNetwork is what type direct needs.
type DirectNetwork struct {
	// mode of macvtap. Default bridge.
	// +optional
	Mode DirectMode `json:"mode,omitempty"`
	// devices are the host's, of which each card gets one.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=15
	Devices []string `json:"devices"`
}

// NetworkSubnet is a range of addresses in which hosts have one.
type NetworkSubnet struct {
	// address is the host's own with the length of the prefix: 192.168.122.1/24,
	// or 2001:db8::1/64.
	// +kubebuilder:validation:MaxLength=49
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be an address with the length of its prefix, such as 192.168.122.1/24"
	Address string `json:"address"`
	// dhcp gives guests addresses of the subnet.
	// +optional
	DHCP *NetworkDHCP `json:"dhcp,omitempty"`
}

// NetworkDHCP is what a DHCP server gives out.
type NetworkDHCP struct {
	// ranges that addresses are given from.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Ranges []AddressRange `json:"ranges,omitempty"`
	// hosts that always get the same address.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Hosts []DHCPHost `json:"hosts,omitempty"`
}

// AddressRange is the addresses from start to end, both included.
type AddressRange struct {
	// +kubebuilder:validation:MaxLength=45
	Start string `json:"start"`
	// +kubebuilder:validation:MaxLength=45
	End string `json:"end"`
}

// DHCPHost is a guest that always gets the same address.
type DHCPHost struct {
	// mac is the address of its card.
	// +kubebuilder:validation:MaxLength=17
	// +optional
	MAC string `json:"mac,omitempty"`
	// name it is called by.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`
	// ip is the address that it gets.
	// +kubebuilder:validation:MaxLength=45
	// +optional
	IP string `json:"ip,omitempty"`
}

// NetworkVLAN is the VLANs that cards on the network are in.
type NetworkVLAN struct {
	// ids are their numbers: one, unless trunk is set.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Minimum=0
	// +kubebuilder:validation:items:Maximum=4095
	IDs []int32 `json:"ids"`
	// trunk hands the guest packets with their tags.
	// +optional
	Trunk bool `json:"trunk,omitempty"`
}

// VirtualNetworkSpec is what the user wants.
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",message="type must not change: make another network"
// +kubebuilder:validation:XValidation:rule="self.type != 'bridge' || has(self.bridgeName)",message="bridgeName must be given for type bridge: the bridge that hosts have"
// +kubebuilder:validation:XValidation:rule="(self.type == 'direct') == has(self.direct)",message="direct must be given for type direct, and for no other"
// +kubebuilder:validation:XValidation:rule="(self.type == 'cni') == has(self.cni)",message="cni must be given for type cni, and for no other"
// +kubebuilder:validation:XValidation:rule="self.type in ['nat', 'isolated', 'routed'] || !has(self.subnets)",message="subnets are for type nat, isolated and routed: on all others addresses are given out elsewhere"
// +kubebuilder:validation:XValidation:rule="self.type in ['nat', 'routed'] || !has(self.device)",message="device is for type nat and routed"
// +kubebuilder:validation:XValidation:rule="self.type in ['nat', 'isolated', 'routed'] || !has(self.mtu)",message="mtu is for type nat, isolated and routed: on all others it is that of the bridge or device"
// +kubebuilder:validation:XValidation:rule="!(self.type in ['direct', 'cni']) || !has(self.bridgeName)",message="bridgeName is for type nat, isolated, routed and bridge"
// +kubebuilder:validation:XValidation:rule="self.type != 'cni' || !has(self.network)",message="network is not for type cni: libvirt has no part in it"
type VirtualNetworkSpec struct {
	// type says what the network leads to.
	Type NetworkType `json:"type"`

	// uuid is the network's UUID on its hosts. libvirt makes one for each by
	// default.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	// +kubebuilder:validation:MaxLength=36
	// +optional
	UUID string `json:"uuid,omitempty"`

	// bridgeName is the bridge that a network of type nat, isolated or routed
	// makes (libvirt names it by default), or that one of type bridge uses.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +optional
	BridgeName string `json:"bridgeName,omitempty"`

	// device limits a network of type nat or routed to what leaves the host by
	// that device.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +optional
	Device string `json:"device,omitempty"`

	// direct is what type direct needs.
	// +optional
	Direct *DirectNetwork `json:"direct,omitempty"`

	// cni is what type cni needs.
	// +optional
	CNI *CNINetwork `json:"cni,omitempty"`

	// subnets are the addresses on the bridge, the same on every host.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Subnets []NetworkSubnet `json:"subnets,omitempty"`

	// domainName is the DNS domain that guests are told to be in.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	DomainName string `json:"domainName,omitempty"`

	// mtu is the size in bytes of the largest packet on a bridge that the network
	// makes.
	// +kubebuilder:validation:Minimum=68
	// +kubebuilder:validation:Maximum=65535
	// +optional
	MTU int32 `json:"mtu,omitempty"`

	// vlan is for bridges that know VLANs, such as Open vSwitch's.
	// +optional
	VLAN *NetworkVLAN `json:"vlan,omitempty"`

	// nodeSelector limits the hosts that can have the network to Nodes with these
	// labels. Default: all hosts. It is made on each where a VM needs it.
	// +mapType=atomic
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// network is libvirt's own network for everything that the fields above do not
	// say: DNS records, port groups, bandwidth, routes, ...
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +mapType=atomic
	// +optional
	Network *runtime.RawExtension `json:"network,omitempty"`
}

// NetworkOnHost is a network as one host has it.
type NetworkOnHost struct {
	// nodeName is the host.
	NodeName string `json:"nodeName"`
	// active says whether guests there can use it.
	// +optional
	Active bool `json:"active,omitempty"`
	// bridgeName is the bridge that it has there.
	// +optional
	BridgeName string `json:"bridgeName,omitempty"`
	// message says what is wrong there.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// Condition types and reasons of a VirtualNetwork.
const (
	// ConditionNetworkReady is False where a host fails to make the network, and
	// while it is deleted and in use. Written by vm-scheduler.
	ConditionNetworkReady = "Ready"
	// ReasonNetworkReady: all hosts that need it have it. ReasonNotNeeded: no VM
	// with a card on it has a host, so none has made it. ReasonHostFailed: a host
	// cannot make it, or has it with an earlier spec. ReasonInUse, of VirtualDisks
	// too: it is deleted and a VM uses it.
	ReasonNetworkReady = "NetworkReady"
	ReasonNotNeeded    = "NotNeeded"
	ReasonHostFailed   = "HostFailed"
)

// VirtualNetworkStatus is the network as its hosts have it. Writer: vm-scheduler.
type VirtualNetworkStatus struct {
	// hostCount is how many hosts have the network. Each of them says so in its
	// Hypervisor's status.networks.
	// +optional
	HostCount int32 `json:"hostCount,omitempty"`
	// hosts are some of them: those where something is wrong before others.
	// +listType=map
	// +listMapKey=nodeName
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Hosts []NetworkOnHost `json:"hosts,omitempty"`
	// definition is what the NetworkAttachmentDefinition that spec.cni names says. It is
	// not set where there is none, or none that can be used.
	// +optional
	Definition *CNIDefinition `json:"definition,omitempty"`
	// observedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VirtualNetwork is a network that VMs of its namespace can have a card on. Each
// host that runs such a VM makes it there.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vnet,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Bridge",type=string,JSONPath=`.spec.bridgeName`
// +kubebuilder:printcolumn:name="Subnets",type=string,JSONPath=`.spec.subnets[*].address`
// +kubebuilder:printcolumn:name="Hosts",type=integer,JSONPath=`.status.hostCount`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualNetwork struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualNetworkSpec `json:"spec"`
	// +optional
	Status VirtualNetworkStatus `json:"status,omitzero"`
}

// VirtualNetworkList is a list of VirtualNetworks.
// +kubebuilder:object:root=true
type VirtualNetworkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualNetwork `json:"items"`
}

// NetworkMark stands in the libvirt names of all networks that are made for
// VirtualNetworks, before what tells one life of an object from another.
const NetworkMark = ".vn-"

// LibvirtName is the name of the libvirt network that a host makes: namespace and
// name, between which the first dot stands, and after NetworkMark the first 12
// digits of the object's UID.
func (n *VirtualNetwork) LibvirtName() string {
	return n.Namespace + "." + n.Name + NetworkMark + digits(n.UID)
}

// Bridge is the bridge of the network on its hosts: spec.bridgeName, or one that
// is named after the object's UID, in the 14 of the 15 characters that the name
// of an interface may have; empty for a type that has none.
func (n *VirtualNetwork) Bridge() string {
	switch {
	case n.Spec.BridgeName != "":
		return n.Spec.BridgeName
	case n.MakesBridge():
		return BridgePrefix + digits(n.UID)
	}
	return ""
}

// BridgePrefix begins the names of bridges that are named after a VirtualNetwork.
const BridgePrefix = "vn"

// MakesBridge says whether the network has a bridge of its own on each host.
func (n *VirtualNetwork) MakesBridge() bool {
	switch n.Spec.Type {
	case NetworkNAT, NetworkIsolated, NetworkRouted:
		return true
	}
	return false
}
