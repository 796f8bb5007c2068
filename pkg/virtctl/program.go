package virtctl

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// program is the name under which virtctl was called.
type program struct {
	// display is what the user types, and plugin says that it is kubectl's.
	display string
	plugin  bool
}

var (
	virtctlItself = program{display: "virtctl"}
	kubectlPlugin = program{display: "kubectl vm", plugin: true}
)

// The names under which kubectl looks for a plugin and for what completes it.
const (
	pluginName   = "kubectl-vm"
	completeName = "kubectl_complete-vm"
)

// called returns the program that argv calls, and its arguments.
func called(argv []string) (program, []string) {
	if len(argv) == 0 {
		return virtctlItself, nil
	}
	switch strings.TrimSuffix(filepath.Base(argv[0]), ".exe") {
	case pluginName:
		return kubectlPlugin, argv[1:]
	case completeName:
		return kubectlPlugin, append([]string{cobra.ShellCompRequestCmd}, argv[1:]...)
	}
	return virtctlItself, argv[1:]
}

// say returns text, which is written for virtctl, as it is under this name.
func (p program) say(text string) string {
	return strings.ReplaceAll(text, "virtctl ", p.display+" ")
}

// adapt has the usage texts of cmd, and of what is beneath it, say what the user
// types.
func (p program) adapt(cmd *cobra.Command) {
	wrapArgs(cmd)
	cmd.Long, cmd.Example = p.say(cmd.Long), p.say(cmd.Example)
	for _, c := range cmd.Commands() {
		p.adapt(c)
	}
}
