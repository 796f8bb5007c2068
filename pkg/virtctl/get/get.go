// Package get lists VMs, as kubectl does and with its code.
package get

import (
	"errors"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	kubectlget "k8s.io/kubectl/pkg/cmd/get"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
)

// resource is what is listed, so that no other group's kind of that name is.
const resource = "virtualmachines." + v1alpha1.GroupName

// New returns `virtctl get`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := kubectlget.NewGetOptions("virtctl", streams)
	cmd := &cobra.Command{
		Use:   "get [NAME... | -l SELECTOR]",
		Short: "List VMs",
		Long: `List VMs, as ` + "`kubectl get vm`" + ` does: the API server makes the table. With --watch
what changes is added to it until it is interrupted.`,
		Example: `  # Those of the namespace, with the reason why each waits
  virtctl get -o wide

  # As they change, in all namespaces
  virtctl get -A -w

  # One, for a program
  virtctl get web-1 -o json | jq .status.placement.nodeName`,
		Aliases:           []string{"list", "ls"},
		ValidArgsFunction: complete.VMs(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			switch {
			case len(names) > 0 && o.LabelSelector != "":
				return failure.Usage("give names or --selector, not both")
			case len(names) > 0 && o.FieldSelector != "":
				return failure.Usage("give names or --field-selector, not both")
			case len(names) > 0 && o.AllNamespaces:
				return failure.Usage("names are of one namespace: leave out --all-namespaces, or the names")
			case len(names) > 1 && o.Watch:
				return failure.Usage("--watch takes one name, or --selector: give one of %q", names)
			}
			args := []string{resource}
			for _, given := range names {
				name, err := cluster.Name(given)
				if err != nil {
					return err
				}
				args = append(args, name)
			}
			factory := cmdutil.NewFactory(config)
			if err := o.Complete(factory, cmd, args); err != nil {
				return failure.Usage("%w", err)
			}
			if _, err := o.PrintFlags.ToPrinter(); err != nil {
				return failure.Usage("%w", err)
			}
			if err := o.Validate(); err != nil {
				return failure.Usage("%w", err)
			}
			return explained(o.Run(factory, args), o.Namespace)
		},
	}
	o.PrintFlags.AddFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVarP(&o.Watch, "watch", "w", false, "Go on with what changes.")
	flags.BoolVarP(&o.AllNamespaces, "all-namespaces", "A", false, "VMs of all namespaces.")
	flags.StringVarP(&o.LabelSelector, "selector", "l", "", "VMs with these labels, such as app=web,tier!=test.")
	flags.StringVar(&o.FieldSelector, "field-selector", "", "VMs with these fields, such as status.placement.nodeName=host-1.")
	return cmd
}

// explained says what came of listing, each name that is none on a line of its own.
func explained(err error, namespace string) error {
	// kubectl's code returns several errors in a type that hides them.
	var several utilerrors.Aggregate
	if errors.As(err, &several) {
		var all []error
		for _, e := range utilerrors.Flatten(several).Errors() {
			all = append(all, explained(e, namespace))
		}
		return errors.Join(all...)
	}
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) {
		if about := status.Status().Details; about != nil && about.Kind == "virtualmachines" && about.Name != "" {
			return cluster.NoVM(types.NamespacedName{Namespace: namespace, Name: about.Name})
		}
	}
	return failure.API(err, "listing virtualmachines")
}
