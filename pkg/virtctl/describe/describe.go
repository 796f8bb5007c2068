// Package describe tells all about a VM that a person may want to know.
package describe

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

// New returns `virtctl describe`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	selection := &cluster.Selection{}
	cmd := &cobra.Command{
		Use:   "describe (NAME... | -l SELECTOR | --all)",
		Short: "Tell all about VMs: where they are, how they are, and why they wait",
		Long: `Tell all about VMs: where they are placed and what they hold there, what the host
and the guest's agent say, why they wait, which operations are under way, and the
latest events.`,
		Example: `  virtctl describe web-1

  # For a program
  virtctl get web-1 -o json`,
		ValidArgsFunction: complete.VMs(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := selection.Read(names); err != nil {
				return err
			}
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			vms, err := place.Choose(cmd.Context(), selection, streams.ErrOut)
			errs := []error{err}
			for i := range vms {
				if i > 0 {
					_, err := io.WriteString(streams.Out, "\n\n")
					errs = append(errs, err)
				}
				about := gather(cmd.Context(), place.Client, &vms[i])
				errs = append(errs, about.print(streams.Out, output.PaintFor(streams.Out), time.Now()))
			}
			return errors.Join(errs...)
		},
	}
	selection.AddFlags(cmd)
	return cmd
}

// about is a VM with what the cluster has on it. What could not be read is said
// in its place: the rest is told all the same.
type about struct {
	vm            *v1alpha1.VirtualMachine
	operations    []v1alpha1.VirtualMachineOperation
	operationsErr error
	events        []corev1.Event
	eventsErr     error
}

func gather(ctx context.Context, c client.Client, vm *v1alpha1.VirtualMachine) *about {
	a := &about{vm: vm}
	operations := &v1alpha1.VirtualMachineOperationList{}
	a.operationsErr = failure.API(c.List(ctx, operations, client.InNamespace(vm.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("spec.virtualMachineName", vm.Name)}), "listing operations")
	a.operations = operations.Items
	events := &corev1.EventList{}
	a.eventsErr = failure.API(c.List(ctx, events, client.InNamespace(vm.Namespace),
		client.MatchingFieldsSelector{Selector: fields.SelectorFromSet(fields.Set{"involvedObject.uid": string(vm.UID)})}), "listing events")
	a.events = events.Items
	return a
}
