package plan

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// HoldsPlace says whether the VM's place is not to be given up, since what its
// firmware keeps on the host would go with it: UEFI variables, Secure Boot's among
// them, and the state of an emulated TPM. libvirt has them in files that are named
// after the domain. They stay when the guest is stopped and started and its domain
// defined anew, and go when the domain is removed: kept beyond that, they would be
// shown to the next VM with that name or UUID. A VM that is deleted or evicted
// loses them.
func HoldsPlace(in Situation) bool {
	return in.Domain != nil && in.Domain.Firmware != libvirt.FirmwareState{} && in.VM.Spec.FirmwareState != v1alpha1.FirmwareDiscard
}

// LostWith names what is lost with a domain; "" for nothing.
func LostWith(s libvirt.FirmwareState) string {
	switch {
	case s.UEFI && s.TPM:
		return "its UEFI variables and its TPM's state"
	case s.UEFI:
		return "its UEFI variables"
	case s.TPM:
		return "its TPM's state"
	}
	return ""
}

// KeptForFirmware says why a VM keeps its place although it is to give it up.
func KeptForFirmware(in Situation) string {
	return "the VM keeps its place, for " + LostWith(in.Domain.Firmware) + " would be lost with it: to give them up, set spec.firmwareState to Discard"
}
