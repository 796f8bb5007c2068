package objects

import (
	"k8s.io/apimachinery/pkg/runtime"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/xmldoc"
)

type machineConcern = concern[libvirtxml.Domain, *v1alpha1.VirtualMachine]

// machines are domains.
var machines = &mapping[libvirtxml.Domain, *v1alpha1.VirtualMachine]{
	kind:  xmldoc.KindDomain,
	check: checkAmounts,
	empty: func() *v1alpha1.VirtualMachine {
		vm := &v1alpha1.VirtualMachine{}
		vm.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachine"))
		return vm
	},
	at:       convert.DomainPath,
	part:     func(vm *v1alpha1.VirtualMachine) **runtime.RawExtension { return &vm.Spec.Domain },
	concerns: []machineConcern{machineIdentity, machineSize, machineHugepages},
	whole:    []string{"/vcpu", "/memory", "/currentMemory", "/maximumMemory", "/memoryBacking/memoryHugePages", "/metadata"},
	lifted:   []string{"vcpu", "memory"},
	metadata: true,
}
