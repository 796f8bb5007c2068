// Package restart holds the verbs that have a guest boot anew.
package restart

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
	"domus.dev/domus/pkg/virtctl/wait"
)

// verb is a word for a way to boot anew.
type verb struct {
	name, short, long, done string
	operation               v1alpha1.OperationType
}

// NewRestart returns `virtctl restart`.
func NewRestart(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(verb{
		name: "restart", short: "Have guests shut down and start with their specs as they are now",
		long: `Have guests shut down, or be switched off when their grace period is over, and
start with their specs as they are now. A guest that has ended is started.`,
		done: "restarted", operation: v1alpha1.OperationRestart,
	}, config, streams)
}

// NewReset returns `virtctl reset`.
func NewReset(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(verb{
		name: "reset", short: "Press guests' reset buttons",
		long: `Press the reset buttons of guests: they boot anew at once, and what they have not
written is lost.`,
		done: "reset", operation: v1alpha1.OperationReset,
	}, config, streams)
}

func newCommand(v verb, config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	selection, options := &cluster.Selection{}, &wait.Options{}
	cmd := &cobra.Command{
		Use:   v.name + " (NAME... | -l SELECTOR | --all)",
		Short: v.short,
		Long:  v.long,
		Example: fmt.Sprintf(`  # One VM
  virtctl %[1]s web-1

  # All VMs with a label, without waiting for them
  virtctl %[1]s -l app=web --wait=false`, v.name),
		ValidArgsFunction: complete.VMs(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := selection.Read(names); err != nil {
				return err
			}
			request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{Type: v.operation}, options.Timeout, 0)
			if err != nil {
				return err
			}
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			found, err := place.Choose(cmd.Context(), selection, streams.ErrOut)
			vms, refused := allowed(v.operation, found)
			told := away.Tell(streams.ErrOut, vms)
			progress := output.NewProgress(streams.ErrOut)
			defer progress.Stop()
			return errors.Join(err, refused, told, request.Run(cmd.Context(), place.Client, streams.Out, progress, place.Namespace, vms, options.Wait, v.done))
		},
	}
	selection.AddFlags(cmd)
	options.AddFlags(cmd, true, "Wait until it is done.")
	return cmd
}

// allowed returns the VMs that may be booted anew: a VM for one run is not
// started a second time. A reset starts nothing.
func allowed(kind v1alpha1.OperationType, found []v1alpha1.VirtualMachine) (vms []v1alpha1.VirtualMachine, refused error) {
	for _, vm := range found {
		if kind == v1alpha1.OperationRestart && vm.Spec.RunPolicy == v1alpha1.RunOnce {
			refused = errors.Join(refused, wait.RanOnce(vm.Name))
			continue
		}
		vms = append(vms, vm)
	}
	return vms, refused
}
