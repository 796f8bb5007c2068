package objects

import (
	"encoding/xml"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/tree"
)

// machineFromXML reads a domain.
func machineFromXML(name string, text []byte, opts FromOptions) (*v1alpha1.VirtualMachine, error) {
	var domain libvirtxml.Domain
	if err := xml.Unmarshal(text, &domain); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var memo delta
	if domain.Metadata != nil {
		var err error
		if domain.Metadata.XML, memo, err = cutMemo(domain.Metadata.XML); err != nil {
			return nil, fmt.Errorf("%s: domain/metadata: %w", name, err)
		}
		// Space around its elements is formatting.
		domain.Metadata.XML = strings.TrimSpace(domain.Metadata.XML)
		if memo != nil && domain.Metadata.XML == "" {
			domain.Metadata = nil
		}
	}
	vm, err := machineOf(&domain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if vm, err = recall(vm, memo); err != nil {
		return nil, fmt.Errorf("%s: domain/metadata: %w", name, err)
	}
	if opts.Namespace != "" {
		vm.Namespace = opts.Namespace
	}
	if opts.Name != "" && opts.Name != vm.Name {
		vm.Name = opts.Name
		if err := noteDomain(vm, &domain); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return vm, nil
}

// machineOf is the VM of a domain.
func machineOf(domain *libvirtxml.Domain) (*v1alpha1.VirtualMachine, error) {
	vm := &v1alpha1.VirtualMachine{}
	vm.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachine"))
	rest, err := copyOf(domain)
	if err != nil {
		return nil, err
	}
	for _, part := range machineParts {
		part.lift(rest, vm)
	}
	if vm.Spec.Domain, err = libvirtPart(rest, "vcpu", "memory"); err != nil {
		return nil, err
	}
	return vm, noteDomain(vm, domain)
}

// noteDomain notes in the VM what of its domain its fields do not tell.
func noteDomain(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) error {
	derived, err := derivedDomain(vm)
	if err != nil {
		return err
	}
	return keepNotation(vm, derived, domain, wholeInDomain)
}

// derivedDomain is the domain that a VM's fields tell.
func derivedDomain(vm *v1alpha1.VirtualMachine) (*libvirtxml.Domain, error) {
	domain, errs := convert.UserDomain(vm)
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	for _, part := range machineParts {
		errs = append(errs, part.lower(vm, domain)...)
	}
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return domain, nil
}

// domainOf is the domain of a VM, with the notation that it came with. A
// notation that no longer holds is taken out of the VM.
func domainOf(vm *v1alpha1.VirtualMachine) (*libvirtxml.Domain, error) {
	domain, err := derivedDomain(vm)
	if err != nil {
		return nil, err
	}
	if domain, err = withNotation(vm, domain); err != nil {
		return nil, err
	}
	if errs := tree.Lost(domain, convert.DomainPath); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return domain, nil
}

// machineToXML writes the domain of a VM.
func machineToXML(given *v1alpha1.VirtualMachine, opts ToOptions) ([]byte, error) {
	vm := asWritten(given)
	domain, err := domainOf(vm)
	if err != nil {
		return nil, err
	}
	text, err := domain.Marshal()
	if err != nil {
		return nil, fmt.Errorf("writing the XML of domain %s: %w", domain.Name, err)
	}
	if opts.Bare {
		return []byte(text + "\n"), nil
	}
	// What is read of it is what the XML tells of the VM.
	var back libvirtxml.Domain
	if err := xml.Unmarshal([]byte(text), &back); err != nil {
		return nil, fmt.Errorf("reading the XML of domain %s again: %w", domain.Name, err)
	}
	told, err := machineOf(&back)
	if err != nil {
		return nil, fmt.Errorf("reading the XML of domain %s again: %w", domain.Name, err)
	}
	memo, err := memoOf(told, vm)
	if err != nil || memo == "" {
		return []byte(text + "\n"), err
	}
	if back.Metadata == nil {
		back.Metadata = &libvirtxml.DomainMetadata{}
	}
	back.Metadata.XML += memo
	if text, err = back.Marshal(); err != nil {
		return nil, fmt.Errorf("writing the XML of domain %s: %w", domain.Name, err)
	}
	return []byte(text + "\n"), nil
}

// asWritten is a VM less what only its cluster knows of it. The UID is what its
// domain is known by, and so stays, as its UUID.
func asWritten(given *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{
			Name: given.Name, GenerateName: given.GenerateName, Namespace: given.Namespace,
			Labels: given.Labels, Annotations: withoutKubectl(given.Annotations),
		},
		Spec: *given.Spec.DeepCopy(),
	}
	vm.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachine"))
	vm.Spec.UUID = given.DomainUUID()
	return vm
}

// copyOf is a domain with nothing in common with the one given.
func copyOf(domain *libvirtxml.Domain) (*libvirtxml.Domain, error) {
	raw, err := tree.Encode(domain)
	if err != nil {
		return nil, err
	}
	out, errs := tree.Decode[libvirtxml.Domain](raw, nil)
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return out, nil
}

// libvirtPart is the rest of a document as an object holds it, nil when there is
// none. Of the named elements, a value of 0 is one that was lifted.
func libvirtPart(rest any, lifted ...string) (*runtime.RawExtension, error) {
	part, err := treeOf(rest)
	if err != nil {
		return nil, err
	}
	for _, key := range lifted {
		if element, ok := part[key].(map[string]any); ok && fmt.Sprint(element["value"]) == "0" {
			delete(element, "value")
		}
	}
	if len(part) == 0 {
		return nil, nil
	}
	raw, err := marshal(part)
	if err != nil {
		return nil, err
	}
	return &runtime.RawExtension{Raw: raw}, nil
}

// Rename gives a VM that was made of a domain another name, and keeps that of
// its domain for the way back.
func Rename(vm *v1alpha1.VirtualMachine, name string) error {
	domain, err := domainOf(vm)
	if err != nil {
		return err
	}
	vm.Name = name
	return noteDomain(vm, domain)
}
