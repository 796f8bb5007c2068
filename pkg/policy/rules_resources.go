package policy

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
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
	return field.ErrorList{amount("maxMemory", most,
		fmt.Sprintf("must be no more than memory (%s), since a guest may ignore its balloon,", memory.String()), "raise memory or lower maxMemory")}
}

func checkOverhead(spec *v1alpha1.VirtualMachineSpec) field.ErrorList {
	got, least := spec.Resources.Overhead, capacity.ComputedOverhead(spec)
	if got == nil || got.Value() >= least {
		return nil
	}
	// Rounded up, so that what is said will do.
	const mib = 1 << 20
	return field.ErrorList{amount("overhead", got,
		fmt.Sprintf("must be at least %dMi, which QEMU is reckoned to need for this VM,", (least+mib-1)/mib), "raise it, or leave it out to have it computed")}
}

// amount refuses an amount of spec.resources at level restricted, saying what it
// must be and how it comes to be that. Amounts are no host access: the level that
// allows them allows that too, and so is named last and for what it is.
func amount(name string, got *resource.Quantity, must, remedy string) *field.Error {
	return field.Invalid(resourcesPath.Child(name), got.String(), fmt.Sprintf("%s%s: %s; a namespace labelled %s=%s is not held to this, and its users are root on the hosts",
		must, atRestricted, remedy, v1alpha1.PolicyLevelLabel, v1alpha1.PolicyPrivileged))
}
