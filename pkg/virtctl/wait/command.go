package wait

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

// New returns `virtctl wait`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	selection, options, text := &cluster.Selection{}, &Options{}, ""
	cmd := &cobra.Command{
		Use:   "wait (NAME... | -l SELECTOR | --all) --for=STATE",
		Short: "Wait until VMs are in a state",
		Long: `Wait until VMs are in a state: running, stopped, paused, suspended, deleted, or
condition=TYPE[=STATUS]. It fails at once for a VM that will not get there unless
somebody does something about it. One that no host has room for may get there.`,
		Example: `  # Until the guest runs
  virtctl wait web-1 --for=running

  # Until the guest agent answers
  virtctl wait web-1 --for=condition=AgentConnected --timeout=10m

  # Until they are gone
  virtctl wait -l app=web --for=deleted`,
		ValidArgsFunction: complete.VMs(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			if text == "" {
				return failure.Usage("say what to wait for with --for, such as --for=running")
			}
			goal, err := Parse(text)
			if err := errors.Join(err, selection.Read(names), options.Check()); err != nil {
				return err
			}
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			tell := func(name string) error {
				_, err := fmt.Fprintf(streams.Out, "virtualmachine/%s %s\n", name, goal.reached())
				return err
			}
			vms, err := selection.Find(cmd.Context(), place.Client, place.Namespace)
			switch {
			case goal.state == Deleted && failure.CodeOf(err) == failure.Missing:
				err = tellMissing(selection.Names, vms, tell)
			case goal.state != Deleted && err == nil && len(vms) == 0:
				return failure.NotFound("no virtualmachines found in namespace %s: see `virtctl get -A`", place.Namespace)
			}
			progress := output.NewProgress(streams.ErrOut)
			defer progress.Stop()
			return errors.Join(err, For(cmd.Context(), place.Client, place.Namespace, Targets(vms), goal, *options, progress, tell))
		},
	}
	selection.AddFlags(cmd)
	cmd.Flags().StringVar(&text, "for", "", "What to wait for: running, stopped, paused, suspended, deleted or condition=TYPE[=STATUS].")
	complete.Flag(cmd, "for", "running", "stopped", "paused", "suspended", "deleted", "condition=Ready", "condition=AgentConnected", "condition=Scheduled",
		"condition=HostReachable", "condition=RestartRequired=unknown", "condition=ResizePending=unknown")
	options.AddTimeout(cmd)
	return cmd
}

// tellMissing tells of each name that no VM has.
func tellMissing(names []string, vms []v1alpha1.VirtualMachine, tell func(string) error) error {
	var errs []error
	for _, name := range names {
		if !slices.ContainsFunc(vms, func(vm v1alpha1.VirtualMachine) bool { return vm.Name == name }) {
			errs = append(errs, tell(name))
		}
	}
	return errors.Join(errs...)
}
