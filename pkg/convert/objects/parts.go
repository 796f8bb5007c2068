package objects

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// machinePart maps one concern of a domain to typed fields and back.
type machinePart struct {
	// lift moves what the typed fields can say from the domain to them.
	lift func(domain *libvirtxml.Domain, vm *v1alpha1.VirtualMachine)
	// lower gives the domain what the typed fields say, as libvirt itself would
	// write it. It refuses what spec.domain says against them.
	lower func(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) field.ErrorList
}

// machineParts are all concerns. What none lifts is in spec.domain as it is.
var machineParts = []machinePart{identityPart, metadataPart, sizePart, hugepagesPart}

// wholeInDomain says which elements mean something only as a whole, and so are
// kept or dropped whole when their notation is.
func wholeInDomain(pointer string) bool {
	switch pointer {
	case "/vcpu", "/memory", "/currentMemory", "/maximumMemory", "/memoryBacking/memoryHugePages", "/metadata":
		return true
	}
	return false
}

// givenTwice is the error for what a typed field and spec.domain both say.
func givenTwice(at *field.Path, value any, typed string) *field.Error {
	return field.Invalid(at, value, "is given twice, and differently: remove it, or make it what "+typed+" says")
}
