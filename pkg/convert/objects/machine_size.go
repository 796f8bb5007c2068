package objects

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// machineSize is <vcpu>, <memory> and <currentMemory>: what the guest has, and
// how far it may grow. Of the most that it may have, libvirt's current is what it
// has.
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
	if v.Current > 0 && v.Current < v.Value && v.Value <= math.MaxInt32 {
		to.CPU, to.MaxCPU = int32(v.Current), int32(v.Value)
		v.Current = 0
	}
	if v.Current == v.Value {
		v.Current = 0
	}
	v.Value = 0
	if v.Placement == staticPlacement && v.CPUSet == "" {
		v.Placement = ""
	}
	if *v == (libvirtxml.DomainVCPU{}) {
		domain.VCPU = nil
	}
}

func lowerVCPU(from *v1alpha1.VirtualMachineResources, domain *libvirtxml.Domain) field.ErrorList {
	if domain.VCPU == nil {
		domain.VCPU = &libvirtxml.DomainVCPU{}
	}
	v, at := domain.VCPU, convert.DomainPath.Child("vcpu")
	most := uint(max(from.CPU, from.MaxCPU, 0))
	if v.Value != 0 && v.Value != most {
		return field.ErrorList{givenTwice(at.Child("value"), v.Value, "spec.resources.cpu or maxCPU")}
	}
	v.Value = most
	if from.MaxCPU > from.CPU {
		if now := uint(max(from.CPU, 0)); v.Current != 0 && v.Current != now {
			return field.ErrorList{givenTwice(at.Child("current"), v.Current, "spec.resources.cpu")}
		}
		v.Current = uint(max(from.CPU, 0))
	}
	if v.Placement == "" {
		v.Placement = staticPlacement
	}
	return nil
}

func liftMemory(domain *libvirtxml.Domain, to *v1alpha1.VirtualMachineResources) {
	m := domain.Memory
	if m == nil {
		to.Memory = cellMemory(domain)
		liftCurrentMemory(domain, to)
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
	liftCurrentMemory(domain, to)
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

// liftCurrentMemory takes what is left of the guest's memory when its balloon has
// taken the rest. A guest that has all is said by nothing.
func liftCurrentMemory(domain *libvirtxml.Domain, to *v1alpha1.VirtualMachineResources) {
	c := domain.CurrentMemory
	if c == nil {
		return
	}
	current, ok := amount(uint64(c.Value), c.Unit, "KiB")
	if !ok {
		return
	}
	switch current.Cmp(to.Memory) {
	case 0:
		domain.CurrentMemory = nil
	case -1:
		if !current.IsZero() {
			most := to.Memory
			to.Memory, to.MaxMemory = current, &most
			domain.CurrentMemory = nil
		}
	}
}

func lowerMemory(from *v1alpha1.VirtualMachineResources, domain *libvirtxml.Domain) field.ErrorList {
	most := from.Memory
	if from.MaxMemory != nil && from.MaxMemory.Cmp(most) > 0 {
		most = *from.MaxMemory
	}
	if most.IsZero() {
		return nil
	}
	m := domain.Memory
	if m == nil {
		m = &libvirtxml.DomainMemory{}
		domain.Memory = m
	}
	if m.Value != 0 || m.Unit != "" {
		if given, ok := amount(uint64(m.Value), m.Unit, "KiB"); !ok || given.Cmp(most) != 0 {
			return field.ErrorList{givenTwice(convert.DomainPath.Child("memory"), m.Value, "spec.resources.memory or maxMemory")}
		}
	}
	value, unit := inUnits(most)
	m.Value, m.Unit = uint(value), unit
	c := domain.CurrentMemory
	if c != nil && most.Cmp(from.Memory) > 0 {
		if given, ok := amount(uint64(c.Value), c.Unit, "KiB"); !ok || given.Cmp(from.Memory) != 0 {
			return field.ErrorList{givenTwice(convert.DomainPath.Child("currentMemory"), c.Value, "spec.resources.memory")}
		}
	}
	if c == nil {
		value, unit = inUnits(from.Memory)
		domain.CurrentMemory = &libvirtxml.DomainCurrentMemory{Value: uint(value), Unit: unit}
	}
	return nil
}
