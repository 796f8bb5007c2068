// Package class decides what a VM has of its VirtualMachineClass. It is pure; the
// webhooks of package admission act by it.
//
// What a class gives is written into the VM's spec once, with the class'
// generation as spec.class.revision, and kept whatever becomes of the class. So
// that the VM's document can be written again and again without it, as kubectl
// apply does, the VM also carries a record of what it was given, in an
// annotation: what a document leaves out is filled in from there.
package class

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/tree"
)

// Given is what a class gives, at a revision.
type Given struct {
	// Name and Revision are the class' name and metadata.generation.
	Name     string
	Revision int64
	// Spec is the class' then.
	Spec v1alpha1.VirtualMachineClassSpec
}

// Own is what is the VM's own, where the VM has been given something before:
// spec is as written now, before what it was given then. The part of the domain
// that is equal to what was given is not the VM's own, as long as nobody wrote
// the domain: domainWritten says whether somebody did.
func Own(spec *v1alpha1.VirtualMachineSpec, before *v1alpha1.VirtualMachineClassSpec, domainWritten bool) error {
	own(&spec.Resources, &before.Resources)
	if domainWritten || spec.Domain == nil || before.Domain == nil {
		return nil
	}
	rest, err := tree.Without(spec.Domain.Raw, before.Domain.Raw)
	if err != nil {
		return fmt.Errorf("reading spec.domain: %w", err)
	}
	spec.Domain = rawOrNil(rest)
	return nil
}

// Fill writes into the spec what it is given, beside its own: amounts and
// policies of spec.resources are the class' alone, its overhead stands where the
// VM has none, its devices stand beside those of the VM, by name, and its domain
// below the VM's. It refuses other amounts and policies of the VM's own.
//
// Filling a spec again changes nothing.
func Fill(spec *v1alpha1.VirtualMachineSpec, given *Given) field.ErrorList {
	errs := fillResources(&spec.Resources, &given.Spec.Resources, given.Name)
	if len(errs) > 0 {
		return errs
	}
	domain, err := tree.Merge[libvirtxml.Domain](raw(spec.Domain), raw(given.Spec.Domain))
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "domain"), field.OmitValueType{}, err.Error())}
	}
	spec.Domain = rawOrNil(domain)
	spec.Class = &v1alpha1.ClassReference{Name: given.Name, Revision: given.Revision}
	return nil
}

func raw(e *runtime.RawExtension) []byte {
	if e == nil {
		return nil
	}
	return e.Raw
}

func rawOrNil(data []byte) *runtime.RawExtension {
	if data == nil {
		return nil
	}
	return &runtime.RawExtension{Raw: data}
}

// Record writes what a VM was given into its annotations.
func Record(vm *v1alpha1.VirtualMachine, given *Given) error {
	text, err := json.Marshal(given.Spec)
	if err != nil {
		return fmt.Errorf("recording what class %s gives: %w", given.Name, err)
	}
	if vm.Annotations == nil {
		vm.Annotations = map[string]string{}
	}
	vm.Annotations[v1alpha1.GivenAnnotation] = string(text)
	return nil
}

// Recorded reads what a VM was given; nil when it carries no record that can be
// read.
func Recorded(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachineClassSpec {
	text, ok := vm.Annotations[v1alpha1.GivenAnnotation]
	if !ok {
		return nil
	}
	spec := &v1alpha1.VirtualMachineClassSpec{}
	if json.Unmarshal([]byte(text), spec) != nil || spec.Resources.CPU < 1 || spec.Resources.Memory.Sign() < 1 {
		return nil
	}
	return spec
}

// Assumed is what a VM was given that carries no record of it: its amounts and
// policies, for they cannot be its own.
func Assumed(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachineClassSpec {
	out := &v1alpha1.VirtualMachineClassSpec{}
	for _, f := range soles {
		f.set(&out.Resources, vm.Spec.Resources.DeepCopy())
	}
	return out
}

// Complete says whether a VM has the amounts without which there is none.
func Complete(vm *v1alpha1.VirtualMachine) bool {
	return vm.Spec.Resources.CPU > 0 && vm.Spec.Resources.Memory.Sign() > 0
}
