// Package power holds the verbs that set a VM's desired power state.
package power

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
	"domus.dev/domus/pkg/virtctl/wait"
)

// verb is a word for a power state.
type verb struct {
	name, short, long, already, asked, reached string
	state                                      v1alpha1.PowerState
}

var (
	start = verb{
		name: "start", short: "Have VMs run", state: v1alpha1.PowerRunning,
		long: `Have VMs run. A VM without a host is placed first; a paused or suspended guest
goes on; a guest that has ended by itself and was left off, as spec.runPolicy
says, is started again.`,
		already: "is asked to run already", asked: "is asked to run", reached: "runs",
	}
	stop = verb{
		name: "stop", short: "Have VMs shut down", state: v1alpha1.PowerStopped,
		long: `Have VMs shut down. A guest is asked to, and switched off when
spec.terminationGracePeriodSeconds are over; --force switches it off at once, also
when the VM is being deleted.
Whether a stopped VM keeps its place on its host is spec.whenStopped's to say.`,
		already: "is asked to be stopped already", asked: "is asked to shut down", reached: "is stopped",
	}
	pause = verb{
		name: "pause", short: "Have guests' CPUs stand still", state: v1alpha1.PowerPaused,
		long: `Have the CPUs of guests stand still. Their memory stays where it is; resume has
them go on.`,
		already: "is asked to be paused already", asked: "is asked to pause", reached: "is paused",
	}
	resume = verb{
		name: "resume", short: "Have paused or suspended VMs go on", state: v1alpha1.PowerRunning,
		long:    `Have paused or suspended VMs go on where they were.`,
		already: "is asked to run already", asked: "is asked to go on", reached: "runs",
	}
	suspend = verb{
		name: "suspend", short: "Save guests' memory on their hosts and end them", state: v1alpha1.PowerSuspended,
		long: `Save the memory of guests on their hosts' disks and end them; resume has them go
on from there. The VMs keep their places.`,
		already: "is asked to be suspended already", asked: "is asked to be suspended", reached: "is suspended",
	}
)

// NewStart returns `virtctl start`.
func NewStart(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(start, config, streams)
}

// NewStop returns `virtctl stop`.
func NewStop(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(stop, config, streams)
}

// NewPause returns `virtctl pause`.
func NewPause(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(pause, config, streams)
}

// NewResume returns `virtctl resume`.
func NewResume(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(resume, config, streams)
}

// NewSuspend returns `virtctl suspend`.
func NewSuspend(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(suspend, config, streams)
}

// command is a verb with its flags.
type command struct {
	verb
	selection cluster.Selection
	options   wait.Options
	force     bool
}

func newCommand(v verb, config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &command{verb: v}
	cmd := &cobra.Command{
		Use:   v.name + " (NAME... | -l SELECTOR | --all)",
		Short: v.short,
		Long:  v.long,
		Example: fmt.Sprintf(`  # One VM, and wait until it is so
  virtctl %[1]s web-1 --wait

  # All VMs with a label
  virtctl %[1]s -l app=web`, v.name),
		ValidArgsFunction: complete.VMs(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(o.selection.Read(names), o.options.Check()); err != nil {
				return err
			}
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), place, streams)
		},
	}
	o.selection.AddFlags(cmd)
	o.options.AddFlags(cmd, false, "Wait until the VMs are so, or cannot be.")
	if v.name == stop.name {
		cmd.Flags().BoolVar(&o.force, "force", false, "Switch the guests off at once; what they have not written is lost.")
	}
	return cmd
}

// run sets the power state of each VM, and goes on with the others when one
// fails.
func (o *command) run(ctx context.Context, place *cluster.Place, streams genericiooptions.IOStreams) error {
	vms, err := place.Choose(ctx, &o.selection, streams.ErrOut)
	c, namespace := place.Client, place.Namespace
	errs := []error{err}
	// set VMs are waited for; what operates on the others is waited for itself, but
	// on those that are leaving, with which it goes.
	var asked, set, operated, leaving []v1alpha1.VirtualMachine
	for i := range vms {
		decision := o.decide(&vms[i])
		err := decision.refusal
		if err == nil && decision.patch {
			err = write(ctx, c, &vms[i], o.state)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		asked = append(asked, vms[i])
		if vms[i].DeletionTimestamp != nil {
			leaving = append(leaving, vms[i])
			continue
		}
		if decision.operation {
			operated = append(operated, vms[i])
		}
		if decision.operation && o.state == v1alpha1.PowerRunning {
			continue
		}
		set = append(set, vms[i])
		if !o.options.Wait {
			_, err := fmt.Fprintf(streams.Out, "virtualmachine/%s %s\n", vms[i].Name, decision.said)
			errs = append(errs, err)
		}
	}
	errs = append(errs, away.Tell(streams.ErrOut, asked))
	errs = append(errs, o.operate(ctx, c, namespace, streams, operated, o.options.Wait))
	errs = append(errs, o.operate(ctx, c, namespace, streams, leaving, false))
	if o.options.Wait {
		errs = append(errs, o.await(ctx, c, namespace, streams, set, wait.GoalOfPower(o.state), o.reached))
		errs = append(errs, o.await(ctx, c, namespace, streams, leaving, wait.GoalOf(wait.Deleted), "is gone"))
	}
	return errors.Join(errs...)
}

// await waits until the VMs are at the goal.
func (o *command) await(ctx context.Context, c client.WithWatch, namespace string, streams genericiooptions.IOStreams, vms []v1alpha1.VirtualMachine, goal wait.Goal, reached string) error {
	progress := output.NewProgress(streams.ErrOut)
	defer progress.Stop()
	return wait.For(ctx, c, namespace, wait.Targets(vms), goal, o.options, progress, func(name string) error {
		_, err := fmt.Fprintf(streams.Out, "virtualmachine/%s %s\n", name, reached)
		return err
	})
}

// operate does by operations what a power state does not: start again what has
// ended, and pull the plug. It follows them to their end, or only asks.
func (o *command) operate(ctx context.Context, c client.WithWatch, namespace string, streams genericiooptions.IOStreams, vms []v1alpha1.VirtualMachine, follow bool) error {
	if len(vms) == 0 {
		return nil
	}
	kind, done := v1alpha1.OperationRestart, o.reached
	if o.state == v1alpha1.PowerStopped {
		kind, done = v1alpha1.OperationForceStop, "is switched off"
	}
	request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{Type: kind}, o.options.Timeout, 0)
	if err != nil {
		return err
	}
	progress := output.NewProgress(streams.ErrOut)
	defer progress.Stop()
	return request.Run(ctx, c, streams.Out, progress, namespace, vms, follow, done)
}
