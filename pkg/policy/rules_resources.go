package policy

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// resourcesPath is where a VirtualMachine says what it needs.
var resourcesPath = field.NewPath("spec", "resources")

// resourceRule holds a part of spec.resources to what is safe, at level restricted.
type resourceRule struct {
	// says the rule to a person; why gives its reason.
	says, why string
	check     func(spec *v1alpha1.VirtualMachineSpec) field.ErrorList
}

var resourceRules = []resourceRule{
	{
		says:  "`overhead` is at least what is [computed](overhead.md) for the VM",
		why:   "QEMU takes what it needs, whatever was granted: less is taken from the host's other guests",
		check: checkOverhead,
	},
	{
		says:  "`maxMemory` is no more than `memory`",
		why:   "a guest is kept from the memory beyond by its own balloon driver alone, and one that ignores it takes it from the host's other guests ([growth.md](growth.md))",
		check: checkMaxMemory,
	},
}

func checkMaxMemory(spec *v1alpha1.VirtualMachineSpec) field.ErrorList {
	most, memory := spec.Resources.MaxMemory, spec.Resources.Memory
	if most == nil || most.Cmp(memory) <= 0 {
		return nil
	}
	return field.ErrorList{value(resourcesPath.Child("maxMemory"), most.String(), "must be no more than memory ("+memory.String()+"), since a guest may ignore its balloon,")}
}

func checkOverhead(spec *v1alpha1.VirtualMachineSpec) field.ErrorList {
	got, least := spec.Resources.Overhead, capacity.ComputedOverhead(spec)
	if got == nil || got.Value() >= least {
		return nil
	}
	// Rounded up, so that what is said will do.
	const mib = 1 << 20
	return field.ErrorList{value(resourcesPath.Child("overhead"), got.String(),
		fmt.Sprintf("must be at least %dMi, which QEMU is reckoned to need for this VM,", (least+mib-1)/mib))}
}
