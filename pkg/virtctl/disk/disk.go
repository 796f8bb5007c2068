// Package disk has the commands about VirtualDisks.
package disk

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/virtctl/failure"
)

// New returns `virtctl disk`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disk COMMAND",
		Short: "Have the content of VirtualDisks",
		Long:  "Have the content of VirtualDisks, the volumes with a life of their own.",
		Example: `  # As a file
  virtctl disk export data -o data.qcow2`,
		ValidArgs: []string{"export"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return failure.Usage("there is no `virtctl disk %s`: see `virtctl disk --help`", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(NewExport(config, streams))
	return cmd
}
