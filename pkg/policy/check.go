// Package policy says what a VirtualMachine's spec may contain, its domain
// above all. Raw domain XML is root on the host: it can name any file, program,
// device and socket there. So what is not on the list of a namespace's level is
// refused; and what typed fields and the placement decide is refused at every
// level. It is pure: the admission webhook and the executor both call it.
package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/document"
	"domus.dev/domus/pkg/convert/tree"
)

// CheckVirtualMachine checks the spec of a VM whose namespace has the level.
// A domain that cannot be read is refused with the paths of what is wrong.
func CheckVirtualMachine(vm *v1alpha1.VirtualMachine, level v1alpha1.PolicyLevel) field.ErrorList {
	domain, others, errs := convert.UserDocument(vm)
	if len(errs) == 0 {
		errs = append(Check(domain, level, vm.Namespace, convert.DomainPath), checkOthers(others, level, convert.DomainPath)...)
	}
	switch {
	case len(errs) > 0:
	case len(others) == 0:
		errs = tree.Lost(domain, convert.DomainPath)
	default:
		// A correction that changes what a key says, or that a key could say,
		// is refused here, so that none reaches what typed fields own.
		_, errs = document.Marshal(domain, others, convert.DomainPath)
	}
	if level != v1alpha1.PolicyPrivileged {
		for _, rule := range resourceRules {
			errs = append(errs, rule.check(&vm.Spec)...)
		}
	}
	return errs[:min(len(errs), maxErrors)]
}

// maxErrors bounds an answer to a document of thousands of forbidden parts.
const maxErrors = 50

// Check says what in a user's domain is refused at the level, with paths below
// at; nil when nothing is. A level that is not known counts as restricted, so
// that a misspelt label opens nothing.
func Check(domain *libvirtxml.Domain, level v1alpha1.PolicyLevel, namespace string, at *field.Path) field.ErrorList {
	privileged := level == v1alpha1.PolicyPrivileged
	var errs field.ErrorList
	tree.Walk(domain, at, func(pattern string, here *field.Path) bool {
		if why, ok := owned[pattern]; ok {
			errs = append(errs, field.Forbidden(here, "is not the user's to set: "+why))
			return false
		}
		// An object that leads to owned or allowed keys is judged by them.
		if privileged || allowed().leads(pattern) {
			return true
		}
		errs = append(errs, refused(pattern, here))
		return false
	})
	if privileged {
		return errs
	}
	for _, rule := range rules {
		errs = append(errs, rule.check(scope{domain: domain, at: at, namespace: namespace})...)
	}
	return errs
}

// checkOthers refuses, at every level but privileged, what the objects of a
// domain say past the keys that the list names: it is libvirt XML of any kind.
// It is refused below keys that are allowed with all that they hold, too.
func checkOthers(others tree.Others, level v1alpha1.PolicyLevel, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, path := range slices.Sorted(maps.Keys(others)) {
		here := at
		if path != "" {
			here = here.Child(path)
		}
		here = here.Child(tree.OtherKey)
		if why, ok := ownedAround(path); ok {
			errs = append(errs, field.Forbidden(here, "is not the user's to set: "+why))
		} else if level != v1alpha1.PolicyPrivileged {
			errs = append(errs, refused(tree.OtherKey, here))
		}
	}
	return errs
}

// ownedAround says why an object is not the user's, when it is not.
func ownedAround(path string) (string, bool) {
	pattern := index.ReplaceAllString(path, "[]")
	if why, ok := owned[pattern]; ok {
		return why, true
	}
	for parent := range parents(pattern) {
		if why, ok := owned[parent]; ok {
			return why, true
		}
	}
	return "", false
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// atRestricted ends what a refusal of level restricted says of the part; the
// remedy comes after it.
const atRestricted = " at policy level " + string(v1alpha1.PolicyRestricted)

// WithoutRemedy is a refusal of Check or CheckVirtualMachine without what to do
// about it, for who says that in other words.
func WithoutRemedy(refusal *field.Error) *field.Error {
	short := *refusal
	if at := strings.Index(short.Detail, atRestricted+": "); at >= 0 {
		short.Detail = short.Detail[:at+len(atRestricted)]
	}
	return &short
}

// remedy is what a person can do about anything that only restricted refuses.
var remedy = fmt.Sprintf("label the namespace %s=%s to allow host access, or remove it",
	v1alpha1.PolicyLevelLabel, v1alpha1.PolicyPrivileged)

// instead says how restricted offers something like what it refuses.
var instead = map[string]string{
	"devices.hostdevs[]":                 "ask for a device that hosts offer in spec.resources.devices, ",
	"devices.disks[].source.file":        asVolume,
	"devices.disks[].source.block":       asVolume,
	"devices.disks[].source.network":     asVolume,
	"devices.interfaces[].source.bridge": asNetwork,
	"devices.interfaces[].source.direct": asNetwork,
}

const (
	asVolume  = "name a volume of a pool in source.volume, "
	asNetwork = "name a libvirt network in source.network, "
)

func refused(pattern string, at *field.Path) *field.Error {
	return field.Forbidden(at, "not allowed"+atRestricted+": "+instead[pattern]+remedy)
}
