package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"
)

// rule holds values of allowed keys to what is safe, at level restricted.
type rule struct {
	// says the rule to a person; why gives its reason.
	says, why string
	check     func(s scope) field.ErrorList
}

// scope is what a rule looks at.
type scope struct {
	domain    *libvirtxml.Domain
	at        *field.Path
	namespace string
}

// devices returns the domain's devices, never nil, and their path.
func (s scope) devices() (*libvirtxml.DomainDeviceList, *field.Path) {
	if s.domain.Devices == nil {
		return &libvirtxml.DomainDeviceList{}, s.at.Child("devices")
	}
	return s.domain.Devices, s.at.Child("devices")
}

// rules are all rules, in the order of the documentation.
var rules = slices.Concat(domainRules, diskRules, networkRules, characterRules, graphicsRules, deviceRules)

// value refuses a value at level restricted, saying what it must be.
func value(at *field.Path, got any, must string) *field.Error {
	return field.Invalid(at, got, must+atRestricted+": change it, "+remedy)
}

// oneOf refuses a value that is given and not among the choices.
func oneOf(at *field.Path, got string, choices ...string) field.ErrorList {
	if got == "" || slices.Contains(choices, got) {
		return nil
	}
	return field.ErrorList{value(at, got, "must be "+either(choices))}
}

// atMost refuses a number that is too large.
func atMost(at *field.Path, got, most uint, unit string) field.ErrorList {
	if got <= most {
		return nil
	}
	return field.ErrorList{value(at, got, strings.TrimSpace(fmt.Sprintf("must be at most %d %s", most, unit)))}
}

// either joins choices for a sentence: a, b or c.
func either(choices []string) string {
	last := len(choices) - 1
	if last == 0 {
		return choices[0]
	}
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}
