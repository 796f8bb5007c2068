package cluster

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation/path"

	"domus.dev/domus/pkg/virtctl/failure"
)

// kinds are what people who know kubectl write before a VM's name.
var kinds = []string{"vm", "vms", "virtualmachine", "virtualmachines", "virtualmachine.domus.dev", "virtualmachines.domus.dev"}

// Name returns the name of a VM that the user gave, as NAME or as vm/NAME.
func Name(given string) (string, error) {
	name := given
	if kind, after, typed := strings.Cut(given, "/"); typed {
		if !slices.Contains(kinds, strings.ToLower(kind)) {
			return "", failure.Usage("%q is no VM: give the name alone, or vm/NAME", given)
		}
		name = after
	}
	if name == "" {
		return "", failure.Usage("the name of a VM is empty: see `virtctl get`")
	}
	if wrong := path.IsValidPathSegmentName(name); len(wrong) > 0 {
		return "", failure.Usage("%q cannot be the name of a VM: it %s", given, strings.Join(wrong, ", and "))
	}
	return name, nil
}
