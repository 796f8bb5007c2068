// Package convert turns a VirtualMachine into the libvirt domain that runs it.
//
// Typed fields and the placement decide what they own (name, UUID, metadata,
// virtual CPUs, memory, where both lie on the host, host devices); spec.domain
// says the rest in the style of package tree; and a default is set only where the
// user said nothing. It is pure and does not judge: what spec.domain may contain
// is package policy's to say.
package convert

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/tree"
)

// ErrNotPlaced is returned for a VM without a placement: what it is granted is
// not known yet.
var ErrNotPlaced = errors.New("the VirtualMachine has no placement")

// InvalidError says that a VM cannot be a domain on any host.
type InvalidError struct {
	// List has at least one error, each with its path in the VirtualMachine.
	List field.ErrorList
}

// Error joins the errors of the list.
func (e *InvalidError) Error() string { return e.List.ToAggregate().Error() }

// HostDefaults is what a host gives a domain whose user said nothing of it.
type HostDefaults struct {
	// DomainType is libvirt's: kvm, qemu, test.
	DomainType string
	// Arch is libvirt's: x86_64, aarch64.
	Arch string
	// Machine is the machine type, such as q35; libvirt chooses when empty.
	Machine string
	// Emulator is the path of the emulator; libvirt chooses when empty.
	Emulator string
	// ConsoleLog is the path of the file that the first serial console is
	// logged to; none when empty.
	ConsoleLog string
}

// Input is all that a domain is made of.
type Input struct {
	// VM has a placement; what it was granted there is what the domain gets.
	VM *v1alpha1.VirtualMachine
	// ClusterID tells this cluster's domains from those of another on the
	// same host.
	ClusterID string
	// Host has the defaults of the host in the placement.
	Host HostDefaults
	// SharedCPUs are that host's.
	SharedCPUs SharedCPUs
	// Operation is the UID of the VirtualMachineOperation that the guest is to be
	// started for; none when empty.
	Operation types.UID
	// Seed is the path of the file that the guest's cloud-init reads; none when
	// empty.
	Seed string
	// Volumes are those of the VirtualDisks in spec.disks, by their names.
	Volumes map[string]Volume
	// Cards are what the cards in spec.interfaces are connected to, by their names.
	Cards map[string]Card
}

// Domain makes the libvirt domain of a placed VM. It fails with ErrNotPlaced,
// or with an *InvalidError that no host would fare better with.
func Domain(in Input) (*libvirtxml.Domain, error) {
	if in.VM.Status.Placement == nil {
		return nil, fmt.Errorf("converting %s/%s: %w", in.VM.Namespace, in.VM.Name, ErrNotPlaced)
	}
	domain, errs := UserDomain(in.VM)
	if len(errs) > 0 {
		return nil, &InvalidError{List: errs}
	}
	if domain.Devices == nil {
		domain.Devices = &libvirtxml.DomainDeviceList{}
	}
	if errs := setPlacement(domain, in.VM.Status.Placement, in.SharedCPUs); len(errs) > 0 {
		return nil, &InvalidError{List: errs}
	}
	if errs := setDisks(domain, in.VM.Spec.Disks, in.Volumes, capacity.DiskTables(&in.VM.Spec, in.VM.Status.Placement.Granted)); len(errs) > 0 {
		return nil, &InvalidError{List: errs}
	}
	if errs := setInterfaces(domain, in.VM, in.Cards); len(errs) > 0 {
		return nil, &InvalidError{List: errs}
	}
	setIdentity(domain, in)
	if domain.Type == "" {
		domain.Type = in.Host.DomainType
	}
	setOS(domain, in.Host)
	setLifecycle(domain)
	setFeatures(domain)
	setTCG(domain)
	setClock(domain)
	if domain.Devices.Emulator == "" {
		domain.Devices.Emulator = in.Host.Emulator
	}
	setConsoleLog(domain.Devices, in.Host.ConsoleLog)
	setAgentChannel(domain)
	if c := in.VM.Spec.CloudInit; c != nil {
		setSeed(domain, c.Bus, in.Seed)
	}
	setPorts(domain)
	return domain, nil
}

// setPlacement makes the domain what the placement says.
func setPlacement(domain *libvirtxml.Domain, p *v1alpha1.Placement, shared SharedCPUs) field.ErrorList {
	errs := setResources(domain, p.Granted)
	cells, cellErrs := placedCells(p)
	errs = append(errs, cellErrs...)
	errs = append(errs, setHostDevices(domain.Devices, p.Devices)...)
	if len(errs) > 0 {
		return errs
	}
	setGuestCells(domain, cells)
	vcpus, emulator := pins(int(capacity.MostCPU(p.Granted)), cells, shared)
	setPins(domain, vcpus, emulator)
	return nil
}

// UserDomain reads spec.domain, errors with paths below it. A VM that has none
// yields an empty domain. What its objects say by tree.OtherKey is left out: see
// UserDocument.
func UserDomain(vm *v1alpha1.VirtualMachine) (*libvirtxml.Domain, field.ErrorList) {
	domain, _, errs := UserDocument(vm)
	return domain, errs
}

// UserDocument is UserDomain with the corrections that the objects of spec.domain
// hold by tree.OtherKey: what libvirt knows and libvirtxml does not.
func UserDocument(vm *v1alpha1.VirtualMachine) (*libvirtxml.Domain, tree.Others, field.ErrorList) {
	if vm.Spec.Domain == nil || len(vm.Spec.Domain.Raw) == 0 {
		return &libvirtxml.Domain{}, nil, nil
	}
	return tree.DecodeAll[libvirtxml.Domain](vm.Spec.Domain.Raw, DomainPath)
}

// DomainPath is where a VirtualMachine holds its libvirt domain.
var DomainPath = field.NewPath("spec", "domain")

// Marshal writes the domain as the XML that libvirt reads.
func Marshal(domain *libvirtxml.Domain) (string, error) {
	doc, err := domain.Marshal()
	if err != nil {
		return "", fmt.Errorf("writing the XML of domain %s: %w", domain.Name, err)
	}
	return doc, nil
}

// XML is Marshal for the domain that Domain made of a VM, with what its
// spec.domain says by tree.OtherKey. It fails with an *InvalidError where that
// cannot be said, or would change what the domain says: typed fields and the
// placement have the last word.
func XML(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) (string, error) {
	_, others, errs := UserDocument(vm)
	if len(errs) > 0 {
		return "", &InvalidError{List: errs}
	}
	if len(others) == 0 {
		return Marshal(domain)
	}
	// Domain adds to the ends of lists only, so the paths of what the user's
	// objects say are those of the same objects still.
	text, errs := document.Marshal(domain, others, DomainPath)
	if len(errs) > 0 {
		return "", &InvalidError{List: errs}
	}
	return string(text), nil
}
