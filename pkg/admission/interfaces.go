package admission

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Cards knows the network cards of VMs that have a host.
type Cards interface {
	// Holder is another VM than the one of the UID that has a card of the address;
	// false when there is none.
	Holder(mac string, than types.UID) (namespace, name string, ok bool)
}

// checkInterfaces refuses addresses that two cards would have. Those of VMs that have
// a host are looked at here, for the user to hear of it at once; what comes at the
// same time is held back when a host is sought. An address that the VM has already is
// let pass, or it could not be changed in anything else.
func (v *Validator) checkInterfaces(vm, old *v1alpha1.VirtualMachine) (errs field.ErrorList) {
	seen := map[string]bool{}
	for i := range vm.Spec.Interfaces {
		card := &vm.Spec.Interfaces[i]
		at := field.NewPath("spec", "interfaces").Index(i).Child("macAddress")
		if card.MACAddress == "" {
			continue
		}
		if seen[card.MACAddress] {
			errs = append(errs, field.Duplicate(at, card.MACAddress))
		}
		seen[card.MACAddress] = true
		if v.cards == nil || old != nil && slices.ContainsFunc(old.Spec.Interfaces, func(o v1alpha1.VirtualMachineInterface) bool { return o.MACAddress == card.MACAddress }) {
			continue
		}
		if namespace, name, taken := v.cards.Holder(card.MACAddress, vm.UID); taken {
			whose := "another namespace's VirtualMachine"
			if namespace == vm.Namespace {
				whose = "VirtualMachine " + name
			}
			errs = append(errs, field.Invalid(at, card.MACAddress, "is the address of a card of "+whose+": choose another, or leave it out for one of its own"))
		}
	}
	return errs
}
