package placement

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
)

// Answer asks and prints the answer: read makes the question of what the command
// was given, kind is what is asked, and show is how people read the answer to q.
func (o *Output) Answer(cmd *cobra.Command, config *genericclioptions.ConfigFlags, out io.Writer, kind v1alpha1.PlacementQuestion,
	read func(cluster.Namespace) (Question, error), show func(out io.Writer, q Question, status *v1alpha1.PlacementReviewStatus) error) error {
	if err := o.Check(); err != nil {
		return err
	}
	namespace, err := cluster.NamespaceOf(config)
	if err != nil {
		return err
	}
	q, err := read(namespace)
	if err != nil {
		return err
	}
	limit := o.asked()
	q.Spec.Question, q.Spec.Limit = kind, &limit
	c, err := cluster.Connect(config)
	if err != nil {
		return err
	}
	status, err := Ask(cmd.Context(), c, q)
	if err != nil {
		return err
	}
	return o.Print(out, status, func(out io.Writer, status *v1alpha1.PlacementReviewStatus) error { return show(out, q, status) })
}
