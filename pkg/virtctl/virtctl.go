// Package virtctl is the command line of Domus. Each folder beneath it holds a
// verb, or verbs that differ by one word.
package virtctl

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/virtctl/explain"
	"domus.dev/domus/pkg/virtctl/fit"
	"domus.dev/domus/pkg/virtctl/power"
	"domus.dev/domus/pkg/virtctl/version"
)

// NewCommand returns the root command. It understands kubectl's flags for
// kubeconfig, context and namespace.
func NewCommand(programVersion string, in io.Reader, out, errOut io.Writer) *cobra.Command {
	config := genericclioptions.NewConfigFlags(true)
	streams := genericiooptions.IOStreams{In: in, Out: out, ErrOut: errOut}
	root := &cobra.Command{
		Use:          "virtctl",
		Short:        "Manage VirtualMachines",
		SilenceUsage: true,
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetErrPrefix("virtctl:")
	config.AddFlags(root.PersistentFlags())
	root.AddCommand(
		explain.New(config, streams),
		fit.New(config, streams),
		power.NewStart(config, streams),
		power.NewStop(config, streams),
		version.New(programVersion, config, streams),
	)
	return root
}
