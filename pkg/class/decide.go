package class

import (
	"bytes"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/tree"
)

// Wish is what is to be done about the class of a VM that is written.
type Wish string

// Wishes.
const (
	// Nothing: the VM names no class.
	Nothing Wish = "Nothing"
	// Leave: the VM's class was taken away. Who applied its name has taken away
	// that alone, and the revision is to go with it. The VM keeps what it has.
	Leave Wish = "Leave"
	// Keep: the VM keeps what it was given.
	Keep Wish = "Keep"
	// Take: the VM takes over the class, at the revision it names, if any.
	Take Wish = "Take"
)

// WishOf says what is to be done about a VM that is written; old is nil for one
// that is created.
func WishOf(vm, old *v1alpha1.VirtualMachine) Wish {
	is, was := vm.Spec.Class, (*v1alpha1.ClassReference)(nil)
	if old != nil {
		was = old.Spec.Class
	}
	switch {
	case is == nil:
		return Nothing
	case is.Name == "":
		if was != nil && is.Revision == was.Revision {
			return Leave
		}
		return Nothing // the schema refuses it
	case was == nil || *is != *was || is.Revision == 0:
		return Take
	}
	return Keep
}

// Revision is which revision a VM that takes over its class asks for, 0 for the
// class as it is. A revision that was left behind by the class before, when only
// the name was written, asks for nothing.
func Revision(vm, old *v1alpha1.VirtualMachine) int64 {
	if old != nil && old.Spec.Class != nil && old.Spec.Class.Name != vm.Spec.Class.Name && old.Spec.Class.Revision == vm.Spec.Class.Revision {
		return 0
	}
	return vm.Spec.Class.Revision
}

// sameDomain says whether the domain of both is the same; one that cannot be read
// is not.
func sameDomain(a, b *v1alpha1.VirtualMachineSpec) bool {
	one, err := tree.Merge[libvirtxml.Domain](raw(a.Domain), nil)
	other, errOther := tree.Merge[libvirtxml.Domain](raw(b.Domain), nil)
	return err == nil && errOther == nil && bytes.Equal(one, other)
}

// Write gives the VM what is given. old is nil for a VM that is created, and
// before what it has been given until now, nil for nothing.
func Write(vm, old *v1alpha1.VirtualMachine, wish Wish, given *Given, before *v1alpha1.VirtualMachineClassSpec) (field.ErrorList, error) {
	if wish == Take && before != nil {
		written := !sameDomain(&vm.Spec, &old.Spec)
		if err := Own(&vm.Spec, before, written); err != nil {
			return field.ErrorList{field.Invalid(field.NewPath("spec", "domain"), field.OmitValueType{}, err.Error())}, nil
		}
	}
	if errs := Fill(&vm.Spec, given); len(errs) > 0 {
		return errs, nil
	}
	return nil, Record(vm, given)
}
