// Package fit says how many more VMs fit, and how large the largest may be.
package fit

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

// New returns `virtctl fit`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	subject, output, shape := &placement.Subject{}, &placement.Output{}, &shape{}
	cmd := &cobra.Command{
		Use:   "fit (VM | -f FILE | --cpu N --memory SIZE)",
		Short: "Say how many more VMs fit, and how large the largest may be",
		Long: `Say how many more VMs like the one given fit on the fleet besides what is there,
how many on each host if all went there, and how large one of that shape may be
at most: CPUs and memory in the same proportion. vm-scheduler answers, by the
same plugins that place VMs; nothing is placed and nothing is stored.

The exit code is 0 when there is an answer, whatever it is.`,
		Example: `  # How many more VMs of 4 CPUs and 8 GiB fit?
  virtctl fit --cpu 4 --memory 8Gi

  # The same in 1 GiB pages, with CPUs of their own in one NUMA cell
  virtctl fit --cpu 4 --memory 8Gi --hugepages 1Gi --numa single-cell --cpu-policy dedicated

  # How many more like this one?
  virtctl fit -n demo database-1`,
		Args:              cluster.AtMostOneName,
		ValidArgsFunction: complete.OneVM(config, "filename"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return output.Answer(cmd, config, streams.Out, v1alpha1.PlacementFit,
				func(namespace cluster.Namespace) (placement.Question, error) {
					return question(cmd, names, subject, shape, streams.In, namespace)
				},
				func(out io.Writer, _ placement.Question, status *v1alpha1.PlacementReviewStatus) error {
					return print(out, status, output.Examples(cmd))
				})
		},
	}
	subject.AddFlags(cmd)
	shape.addFlags(cmd)
	output.AddFlags(cmd)
	return cmd
}

// question is about a VM, a file or a shape in flags: one of them.
func question(cmd *cobra.Command, names []string, subject *placement.Subject, s *shape, stdin io.Reader, namespace cluster.Namespace) (placement.Question, error) {
	flags := given(cmd)
	if subject.Given(names) {
		if len(flags) > 0 {
			return placement.Question{}, mixed(flags)
		}
		return subject.Question(names, stdin, namespace)
	}
	template, err := s.template()
	if err != nil {
		return placement.Question{}, err
	}
	return placement.Question{Spec: v1alpha1.PlacementReviewSpec{Template: template}, Namespace: namespace.Name}, nil
}
