package cluster

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"domus.dev/domus/pkg/virtctl/failure"
)

// kinds are what people who know kubectl write before a VM's name.
var kinds = []string{"vm", "vms", "virtualmachine", "virtualmachines", "virtualmachine.domus.dev", "virtualmachines.domus.dev"}

// OneName is the cobra.PositionalArgs of a command that takes the name of one VM.
func OneName(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return failure.Usage("name a VM (see `virtctl get`)")
	}
	return AtMostOneName(cmd, args)
}

// AtMostOneName is the cobra.PositionalArgs of a command that takes one VM's name
// or none.
func AtMostOneName(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return failure.Usage("%s takes one VM: give one of %q", cmd.Name(), args)
	}
	return nil
}

// Name returns the name of a VM that the user gave, as NAME or as vm/NAME. What no
// object can be called is refused here: asking the cluster for it would only say
// that there is none.
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
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "", failure.Usage("%q cannot be the name of a VM: a name has small letters, digits, - and ., begins and ends with a letter or digit, and has at most %d characters: see `virtctl get`",
			given, validation.DNS1123SubdomainMaxLength)
	}
	return name, nil
}
