package v1alpha1

// HostInterfaceType says what a network interface of a host is.
// +kubebuilder:validation:Enum=bridge;ovsBridge;device
type HostInterfaceType string

const (
	// InterfaceBridge is a bridge of Linux'.
	InterfaceBridge HostInterfaceType = "bridge"
	// InterfaceOVSBridge is a bridge of Open vSwitch's.
	InterfaceOVSBridge HostInterfaceType = "ovsBridge"
	// InterfaceDevice is anything else: a card, a bond, a VLAN.
	InterfaceDevice HostInterfaceType = "device"
)

// HostInterface is a bridge or device of a host that networks can lead to.
type HostInterface struct {
	// name is the interface's.
	Name string `json:"name"`
	// type says what it is.
	Type HostInterfaceType `json:"type"`
}

// HostNetwork is a VirtualNetwork that a host has made, or fails to.
type HostNetwork struct {
	// namespace, name and uid are the VirtualNetwork's.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// +kubebuilder:validation:MaxLength=63
	UID string `json:"uid"`
	// bridgeName is the bridge that it has there, if any.
	// +optional
	BridgeName string `json:"bridgeName,omitempty"`
	// active says whether guests there can use it.
	// +optional
	Active bool `json:"active,omitempty"`
	// message says what is wrong there.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
}

// Interface is the host's interface of the name; nil when it has none.
func (s *HypervisorStatus) Interface(name string) *HostInterface {
	for i := range s.Interfaces {
		if s.Interfaces[i].Name == name {
			return &s.Interfaces[i]
		}
	}
	return nil
}
