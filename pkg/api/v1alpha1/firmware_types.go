package v1alpha1

// FirmwareStatePolicy says what becomes of what the guest's firmware keeps on the
// host when the VM's place there is given up: UEFI variables, Secure Boot's among
// them, and the state of an emulated TPM.
// +kubebuilder:validation:Enum=Keep;Discard
type FirmwareStatePolicy string

const (
	// FirmwareKeep has the VM keep its place instead.
	FirmwareKeep FirmwareStatePolicy = "Keep"
	// FirmwareDiscard has it lost with the place.
	FirmwareDiscard FirmwareStatePolicy = "Discard"
)
