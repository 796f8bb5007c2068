package v1alpha1

import (
	"crypto/sha256"
	"fmt"
)

// InterfaceModel is the card that the guest sees.
// +kubebuilder:validation:Enum=virtio;e1000;e1000e;rtl8139
type InterfaceModel string

// Models of cards.
const (
	ModelVirtio  InterfaceModel = "virtio"
	ModelE1000   InterfaceModel = "e1000"
	ModelE1000E  InterfaceModel = "e1000e"
	ModelRTL8139 InterfaceModel = "rtl8139"
)

// BandwidthLimit is how much goes in one direction.
type BandwidthLimit struct {
	// average is the rate that is held, in KiB a second.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=134217728
	Average int32 `json:"average"`
	// peak is the highest rate, in KiB a second, while a burst lasts.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=134217728
	// +optional
	Peak int32 `json:"peak,omitempty"`
	// burst is how many KiB may go at the rate of peak.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=134217728
	// +optional
	Burst int32 `json:"burst,omitempty"`
}

// InterfaceBandwidth limits a card. Directions are the guest's.
type InterfaceBandwidth struct {
	// inbound is what the guest receives.
	// +optional
	Inbound *BandwidthLimit `json:"inbound,omitempty"`
	// outbound is what it sends.
	// +optional
	Outbound *BandwidthLimit `json:"outbound,omitempty"`
}

// VirtualMachineInterface is a card that a guest has on a VirtualNetwork.
type VirtualMachineInterface struct {
	// name tells the VM's cards apart.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// networkName is a VirtualNetwork in the VM's namespace. The VM waits for it.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	NetworkName string `json:"networkName"`

	// macAddress is the card's address. By default it follows from the VM and the
	// card's name, and stays the same for as long as the VM exists. No two VMs that
	// have a host have the same.
	// +kubebuilder:validation:Pattern=`^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$`
	// +kubebuilder:validation:MaxLength=17
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('fe:') && self != '00:00:00:00:00:00'",message="must not begin with fe, by which libvirt names its own end of a card"
	// +optional
	MACAddress string `json:"macAddress,omitempty"`

	// model is the card that the guest sees. Default virtio.
	// +optional
	Model InterfaceModel `json:"model,omitempty"`

	// mtu is the size in bytes of the largest packet. Default: that of the network.
	// +kubebuilder:validation:Minimum=68
	// +kubebuilder:validation:Maximum=65535
	// +optional
	MTU int32 `json:"mtu,omitempty"`

	// isolated keeps the card from other isolated cards on its bridge: it reaches
	// the bridge itself, and through it what is beyond. Linux bridges alone know it.
	// +optional
	Isolated bool `json:"isolated,omitempty"`

	// bandwidth limits what goes through the card.
	// +optional
	Bandwidth *InterfaceBandwidth `json:"bandwidth,omitempty"`

	// bootOrder is when the firmware tries to boot from the network by this card: 1
	// before 2. Not at all when not set.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	BootOrder int32 `json:"bootOrder,omitempty"`
}

// InterfaceStatus is a card as the guest has it.
type InterfaceStatus struct {
	// name is the card's in spec.interfaces.
	Name string `json:"name"`
	// networkName is the VirtualNetwork that it is on.
	NetworkName string `json:"networkName"`
	// macAddress is its address.
	MACAddress string `json:"macAddress"`
	// addresses are the IP addresses that were seen on it: those that the network's
	// DHCP server gave it, that the host has heard of, and that the guest's agent
	// names.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Addresses []string `json:"addresses,omitempty"`
	// assigned are those of addresses that a CNI plugin gave the card: no guest has a
	// say in them. Guests are not told of those of IPv6, which are here once they were
	// seen on the card.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Assigned []string `json:"assigned,omitempty"`
}

// Conditions and reasons of a VirtualMachine whose spec.interfaces is edited while
// its guest runs.
const (
	// ConditionInterfacesPending is True while a guest that runs has not the cards
	// that spec.interfaces says and is to come to have them without a restart; absent
	// otherwise. Written by the executor, and not before a few seconds have passed.
	ConditionInterfacesPending = "InterfacesPending"
	// ReasonInterfacePlugFailed: libvirt or QEMU refused; tried again with back-off.
	// ReasonInterfaceKept: the guest was asked to give a card up, and has not.
	// ReasonWaitingForNetworks, which status.host has too: a card's network is not
	// there yet.
	ReasonInterfacePlugFailed = "HotPlugFailed"
	ReasonInterfaceKept       = "WaitingForGuest"
)

// NamesNetwork says whether the VM has a card on the VirtualNetwork of its
// namespace.
func (vm *VirtualMachine) NamesNetwork(name string) bool {
	for i := range vm.Spec.Interfaces {
		if vm.Spec.Interfaces[i].NetworkName == name {
			return true
		}
	}
	return false
}

// MACOf is the address of a card of the VM: its own, or one that follows from the
// VM's UID and the card's name. That is locally administered, and of 46 bits: among
// a million cards two have the same with a chance of less than 1 in 100.
func (vm *VirtualMachine) MACOf(card *VirtualMachineInterface) string {
	if card.MACAddress != "" {
		return card.MACAddress
	}
	sum := sha256.Sum256([]byte(string(vm.UID) + "/" + card.Name))
	first := sum[0]&^0x03 | 0x02 // locally administered, of one card
	if first == 0xfe {
		first = 0xfa // libvirt's own
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", first, sum[1], sum[2], sum[3], sum[4], sum[5])
}
