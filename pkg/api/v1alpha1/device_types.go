package v1alpha1

// DeviceRequest asks for host devices to be passed through to the guest.
type DeviceRequest struct {
	// name is the name under which hosts offer the devices; see
	// Hypervisor.status.devices.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// count is how many of them.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	// +optional
	Count int32 `json:"count,omitempty"`
}

// HostDevice is a PCI device of a host that guests may be given whole: its
// administrator has offered it under a name.
type HostDevice struct {
	// name is the name it is offered under, such as gpu or 25g-vf.
	Name string `json:"name"`
	// address is its PCI address on the host: 0000:3b:00.0.
	Address string `json:"address"`
	// cell is the NUMA cell that it is near to; none when the host does not say.
	// +optional
	Cell *int32 `json:"cell,omitempty"`
	// vendor and product are the PCI ids in hexadecimal: 10de, 20b0.
	// +optional
	Vendor string `json:"vendor,omitempty"`
	// +optional
	Product string `json:"product,omitempty"`
	// physicalFunction is set for an SR-IOV virtual function: the PCI address
	// of the device that it is a part of.
	// +optional
	PhysicalFunction string `json:"physicalFunction,omitempty"`
}

// PlacedDevice is a host device that a placement gives to the VM alone.
type PlacedDevice struct {
	// name is the name it was asked for by.
	Name string `json:"name"`
	// address is its PCI address on the host.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`
	Address string `json:"address"`
}
