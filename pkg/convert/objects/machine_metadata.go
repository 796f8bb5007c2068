package objects

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// metadataPart is <metadata>: what it holds is text to libvirt, and an
// annotation here.
var metadataPart = machinePart{
	lift: func(domain *libvirtxml.Domain, vm *v1alpha1.VirtualMachine) {
		if domain.Metadata != nil && domain.Metadata.XML != "" {
			setAnnotation(vm, v1alpha1.MetadataAnnotation, domain.Metadata.XML)
		}
		domain.Metadata = nil
	},
	lower: func(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) field.ErrorList {
		text, given := vm.Annotations[v1alpha1.MetadataAnnotation]
		if !given {
			return nil
		}
		if domain.Metadata != nil && domain.Metadata.XML != text {
			return field.ErrorList{givenTwice(convert.DomainPath.Child("metadata"), field.OmitValueType{},
				"the annotation "+v1alpha1.MetadataAnnotation)}
		}
		if err := wellFormed(text); err != nil {
			return field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations").Key(v1alpha1.MetadataAnnotation),
				field.OmitValueType{}, "is not the inside of an XML element: "+err.Error())}
		}
		domain.Metadata = &libvirtxml.DomainMetadata{XML: text}
		return nil
	},
}
