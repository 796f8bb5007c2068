package virtctl

import (
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
)

// hint is a command of virtctl that an error tells the user to run.
var hint = regexp.MustCompile("`virtctl [a-z][^`]*`")

// hintsIn has the commands that a text tells the user to run be about the
// namespace that cmd was given, unless they name theirs.
func hintsIn(cmd *cobra.Command, text string) string {
	flag := cmd.Flag("namespace")
	if flag == nil || !flag.Changed || len(validation.IsDNS1123Label(flag.Value.String())) > 0 {
		return text
	}
	return hint.ReplaceAllStringFunc(text, func(command string) string {
		words := strings.Fields(strings.Trim(command, "`"))
		if slices.Contains(words, "-A") || slices.Contains(words, "-n") || slices.Contains(words, "--help") {
			return command
		}
		return "`" + strings.Join(slices.Insert(words, 2, "-n", flag.Value.String()), " ") + "`"
	})
}
