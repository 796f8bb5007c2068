package objects

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// identityPart is <name> and <uuid>.
var identityPart = machinePart{
	lift: func(domain *libvirtxml.Domain, vm *v1alpha1.VirtualMachine) {
		if vm.Name == "" {
			vm.Name = Name(domain.Name)
		}
		domain.Name = ""
		if uuid, ok := readUUID(domain.UUID); ok {
			vm.Spec.UUID, domain.UUID = uuid, ""
		}
	},
	lower: func(vm *v1alpha1.VirtualMachine, domain *libvirtxml.Domain) field.ErrorList {
		var errs field.ErrorList
		if domain.Name != "" && domain.Name != vm.Name {
			errs = append(errs, givenTwice(convert.DomainPath.Child("name"), domain.Name, "metadata.name"))
		}
		domain.Name = vm.Name
		// The UUID of an object of a cluster is that of its domain.
		uuid := vm.DomainUUID()
		if own, _ := readUUID(domain.UUID); uuid != "" && domain.UUID != "" && own != uuid {
			errs = append(errs, givenTwice(convert.DomainPath.Child("uuid"), domain.UUID, "spec.uuid"))
		}
		if uuid != "" {
			domain.UUID = uuid
		}
		return errs
	},
}

var hexUUID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// readUUID reads a UUID as libvirt does: in any case, with hyphens wherever
// they stand and space around it. It is written in the usual way.
func readUUID(text string) (string, bool) {
	hex := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "-", ""))
	if !hexUUID.MatchString(hex) {
		return "", false
	}
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:], true
}
