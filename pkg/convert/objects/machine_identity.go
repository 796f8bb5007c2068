package objects

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// machineIdentity is <name> and <uuid>.
var machineIdentity = machineConcern{
	lift: func(domain *libvirtxml.Domain, vm *v1alpha1.VirtualMachine) {
		liftName(&domain.Name, vm)
		liftUUID(&domain.UUID, &vm.Spec.UUID)
	},
	lower: func(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) field.ErrorList {
		errs := lowerName(vm, &domain.Name, convert.DomainPath)
		return append(errs, lowerUUID(vm.Spec.UUID, &domain.UUID, convert.DomainPath)...)
	},
}
