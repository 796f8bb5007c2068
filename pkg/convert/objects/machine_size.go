package objects

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// machineSize is <vcpu>, <memory> and <currentMemory>.
//
// Written out, they are what libvirt prints of any domain: vcpu with its
// placement, both memories, in KiB.
var machineSize = machineConcern{
	lift: func(domain *libvirtxml.Domain, vm *v1alpha1.VirtualMachine) {
		liftVCPU(domain, &vm.Spec.Resources)
		liftMemory(domain, &vm.Spec.Resources)
	},
	lower: func(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) field.ErrorList {
		return append(lowerVCPU(&vm.Spec.Resources, domain), lowerMemory(&vm.Spec.Resources, domain)...)
	},
}

// staticPlacement is what libvirt prints of vCPUs that it places nowhere itself.
const staticPlacement = "static"

func liftVCPU(domain *libvirtxml.Domain, to *v1alpha1.VirtualMachineResources) {
	// libvirt gives a domain that does not say one vCPU.
	to.CPU = 1
	v := domain.VCPU
	if v == nil || v.Value == 0 {
		return
	}
	to.CPU = int32(min(v.Value, math.MaxInt32))
	v.Value = 0
	if v.Placement == staticPlacement && v.CPUSet == "" {
		v.Placement = ""
	}
	if v.Current == uint(to.CPU) {
		v.Current = 0
	}
	if *v == (libvirtxml.DomainVCPU{}) {
		domain.VCPU = nil
	}
}

func lowerVCPU(from *v1alpha1.VirtualMachineResources, domain *libvirtxml.Domain) field.ErrorList {
	if domain.VCPU == nil {
		domain.VCPU = &libvirtxml.DomainVCPU{}
	}
	v := domain.VCPU
	if v.Value != 0 && v.Value != uint(from.CPU) {
		return field.ErrorList{givenTwice(convert.DomainPath.Child("vcpu", "value"), v.Value, "spec.resources.cpu")}
	}
	v.Value = uint(max(from.CPU, 0))
	if v.Placement == "" {
		v.Placement = staticPlacement
	}
	return nil
}

func liftMemory(domain *libvirtxml.Domain, to *v1alpha1.VirtualMachineResources) {
	m := domain.Memory
	if m == nil {
		to.Memory = cellMemory(domain)
		liftCurrentMemory(domain, to.Memory)
		return
	}
	memory, ok := amount(uint64(m.Value), m.Unit, "KiB")
	if !ok {
		return
	}
	to.Memory = memory
	m.Value, m.Unit = 0, ""
	if *m == (libvirtxml.DomainMemory{}) {
		domain.Memory = nil
	}
	liftCurrentMemory(domain, memory)
}

// cellMemory is what a domain has that leaves <memory> to its NUMA cells.
func cellMemory(domain *libvirtxml.Domain) resource.Quantity {
	total := *resource.NewQuantity(0, resource.BinarySI)
	if domain.CPU == nil || domain.CPU.Numa == nil {
		return total
	}
	for _, cell := range domain.CPU.Numa.Cell {
		memory, ok := amount(uint64(cell.Memory), cell.Unit, "KiB")
		if !ok {
			return *resource.NewQuantity(0, resource.BinarySI)
		}
		total.Add(memory)
	}
	return total
}

// liftCurrentMemory drops what says no more than that the guest has all of its
// memory.
func liftCurrentMemory(domain *libvirtxml.Domain, memory resource.Quantity) {
	c := domain.CurrentMemory
	if c == nil {
		return
	}
	if current, ok := amount(uint64(c.Value), c.Unit, "KiB"); ok && current.Cmp(memory) == 0 {
		domain.CurrentMemory = nil
	}
}

func lowerMemory(from *v1alpha1.VirtualMachineResources, domain *libvirtxml.Domain) field.ErrorList {
	m := domain.Memory
	if m != nil && (m.Value != 0 || m.Unit != "") {
		given, ok := amount(uint64(m.Value), m.Unit, "KiB")
		if from.Memory.IsZero() {
			return nil
		}
		if !ok || given.Cmp(from.Memory) != 0 {
			return field.ErrorList{givenTwice(convert.DomainPath.Child("memory"), m.Value, "spec.resources.memory")}
		}
	}
	if from.Memory.IsZero() {
		return nil
	}
	if m == nil {
		m = &libvirtxml.DomainMemory{}
		domain.Memory = m
	}
	value, unit := inUnits(from.Memory)
	m.Value, m.Unit = uint(value), unit
	if domain.CurrentMemory == nil {
		domain.CurrentMemory = &libvirtxml.DomainCurrentMemory{Value: m.Value, Unit: m.Unit}
	}
	return nil
}
