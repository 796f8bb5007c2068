package complete

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"domus.dev/domus/pkg/virtctl/failure"
)

// Choices are the values that a flag takes.
type Choices []string

// ChoicesOf returns values of the API as choices.
func ChoicesOf[T ~string](values ...T) Choices {
	var all Choices
	for _, v := range values {
		all = append(all, string(v))
	}
	return all
}

// Complete has the flag completed.
func (c Choices) Complete(cmd *cobra.Command, flag string) { Flag(cmd, flag, c...) }

// Check refuses a value that is none of them; "" is that the flag was not given.
func (c Choices) Check(flag, value string) error {
	if value == "" || slices.Contains(c, value) {
		return nil
	}
	return failure.Usage("--%s=%s: must be %s", flag, value, c)
}

// String lists them: a, b or c.
func (c Choices) String() string {
	if len(c) < 2 {
		return strings.Join(c, "")
	}
	return strings.Join(c[:len(c)-1], ", ") + " or " + c[len(c)-1]
}
