package objects

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// machineHugepages is <memoryBacking><hugepages> with one size of page for all of
// the guest. Several, or none named, stay in spec.domain.
var machineHugepages = machineConcern{
	lift: func(domain *libvirtxml.Domain, vm *v1alpha1.VirtualMachine) {
		backing := domain.MemoryBacking
		if backing == nil || backing.MemoryHugePages == nil {
			return
		}
		size, ok := pageSize(backing.MemoryHugePages)
		if !ok {
			return
		}
		vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: size}
		backing.MemoryHugePages = nil
		if *backing == (libvirtxml.DomainMemoryBacking{}) {
			domain.MemoryBacking = nil
		}
	},
	lower: func(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) field.ErrorList {
		pages := vm.Spec.Resources.Hugepages
		if pages == nil {
			return nil
		}
		if domain.MemoryBacking == nil {
			domain.MemoryBacking = &libvirtxml.DomainMemoryBacking{}
		}
		if given := domain.MemoryBacking.MemoryHugePages; given != nil {
			if size, ok := pageSize(given); !ok || size != pages.PageSize {
				return field.ErrorList{givenTwice(convert.DomainPath.Child("memoryBacking", "memoryHugePages"),
					field.OmitValueType{}, "spec.resources.hugepages.pageSize")}
			}
		}
		size, err := resource.ParseQuantity(string(pages.PageSize))
		if err != nil {
			return field.ErrorList{field.NotSupported(field.NewPath("spec", "resources", "hugepages", "pageSize"), pages.PageSize,
				[]v1alpha1.PageSize{v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi})}
		}
		value, unit := inUnits(size)
		domain.MemoryBacking.MemoryHugePages = &libvirtxml.DomainMemoryHugepages{
			Hugepages: []libvirtxml.DomainMemoryHugepage{{Size: uint(value), Unit: unit}},
		}
		return nil
	},
}

// pageSize is the one size of page that the whole guest is in, false when there
// is none such.
func pageSize(pages *libvirtxml.DomainMemoryHugepages) (v1alpha1.PageSize, bool) {
	if len(pages.Hugepages) != 1 || pages.Hugepages[0].Nodeset != "" {
		return "", false
	}
	bytes, ok := amount(uint64(pages.Hugepages[0].Size), pages.Hugepages[0].Unit, "KiB")
	if !ok {
		return "", false
	}
	switch size := v1alpha1.PageSize(bytes.String()); size {
	case v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi:
		return size, true
	}
	return "", false
}
