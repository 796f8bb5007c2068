// Package explain says where a VM would be placed, and why.
package explain

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/placement"
)

// New returns `virtctl explain`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	subject, output := &placement.Subject{}, &placement.Output{}
	cmd := &cobra.Command{
		Use:   "explain (VM | -f FILE)",
		Short: "Say where a VM would be placed now, and why",
		Long: `Say on which hosts a VM fits now and how they score, why the others are out of
the question, and what would have to change. vm-scheduler answers, by the same
plugins that place VMs; nothing is placed and nothing is stored.

The exit code is 0 when there is an answer, whatever it is.`,
		Example: `  # Why does this VM wait, or why does it run where it runs?
  virtctl explain -n demo database-1

  # Where would this VM go?
  virtctl explain -f vm.yaml

  # On how many hosts does it fit?
  virtctl explain -f vm.yaml -o json | jq .feasible`,
		Args:              cluster.AtMostOneName,
		ValidArgsFunction: complete.OneVM(config, "filename"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return output.Answer(cmd, config, streams.Out, v1alpha1.PlacementExplain,
				func(namespace cluster.Namespace) (placement.Question, error) {
					return subject.Question(names, streams.In, namespace)
				},
				func(out io.Writer, q placement.Question, status *v1alpha1.PlacementReviewStatus) error {
					return print(out, q.Name, status, output.Examples(cmd))
				})
		},
	}
	subject.AddFlags(cmd)
	output.AddFlags(cmd)
	return cmd
}
