package admission

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// checkDisks refuses a VirtualDisk that the guest would have twice, which libvirt would
// have two drives write. A VM that has it so already is let pass, or it could not be
// changed in anything else, nor go.
func checkDisks(vm, old *v1alpha1.VirtualMachine) (errs field.ErrorList) {
	if old != nil && equality.Semantic.DeepEqual(vm.Spec.Disks, old.Spec.Disks) {
		return nil
	}
	first := map[string]int{}
	for i := range vm.Spec.Disks {
		name := vm.Spec.Disks[i].DiskName
		if name == "" {
			continue
		}
		if before, twice := first[name]; twice {
			errs = append(errs, field.Invalid(field.NewPath("spec", "disks").Index(i).Child("diskName"), name,
				fmt.Sprintf("is the VirtualDisk of disk %s too (spec.disks[%d]): leave out one of the two", vm.Spec.Disks[before].Name, before)))
			continue
		}
		first[name] = i
	}
	return errs
}

// checkBootOrder refuses an order that two devices have: libvirt knows no such thing.
func checkBootOrder(vm, old *v1alpha1.VirtualMachine) (errs field.ErrorList) {
	if old != nil && equality.Semantic.DeepEqual(vm.Spec.Disks, old.Spec.Disks) && equality.Semantic.DeepEqual(vm.Spec.Interfaces, old.Spec.Interfaces) {
		return nil
	}
	first := map[int32]*field.Path{}
	check := func(at *field.Path, order int32) {
		if order == 0 {
			return
		}
		if before, twice := first[order]; twice {
			errs = append(errs, field.Invalid(at.Child("bootOrder"), order, fmt.Sprintf("is the order of %s too: give each device that the guest may boot from its own", before)))
			return
		}
		first[order] = at
	}
	for i := range vm.Spec.Disks {
		check(field.NewPath("spec", "disks").Index(i), vm.Spec.Disks[i].BootOrder)
	}
	for i := range vm.Spec.Interfaces {
		check(field.NewPath("spec", "interfaces").Index(i), vm.Spec.Interfaces[i].BootOrder)
	}
	return errs
}
