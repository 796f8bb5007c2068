// Package top shows what guests use of their hosts.
package top

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/away"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/complete"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/operation"
	"domus.dev/domus/pkg/virtctl/output"
	"domus.dev/domus/pkg/virtctl/wait"
)

// most VMs are measured at once when the user has not named them: each is an
// object written and a moment of its host's time.
const most = 100

// New returns `virtctl top`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &command{}
	cmd := &cobra.Command{
		Use:   "top [NAME... | -l SELECTOR]",
		Short: "Show what guests use of their hosts",
		Long: fmt.Sprintf(`Show what guests use of their hosts: each host counts for about a second. Without
names the first %d VMs that have a guest are measured. One that cannot be measured
has dashes, and below the table it is said why.

CPU is what the guest and QEMU use, in thousandths of a host CPU, and in percent
of its vCPUs. MEMORY is what the guest occupies of its host, GUEST-USED what it
says it uses of that itself. The rest is bytes a second.`, most),
		Example: `  # Who uses most?
  virtctl top --sort-by=cpu

  # These
  virtctl top web-1 web-2

  # In all namespaces
  virtctl top -A -l app=web`,
		ValidArgsFunction: complete.VMs(config),
		RunE: func(cmd *cobra.Command, names []string) error {
			request, err := o.read(names)
			if err != nil {
				return err
			}
			place, err := cluster.Open(config)
			if err != nil {
				return err
			}
			if o.everywhere {
				place.Namespace = ""
			}
			return o.run(cmd.Context(), place, request, streams)
		},
	}
	o.selection.AddSelector(cmd)
	cmd.Flags().BoolVarP(&o.everywhere, "all-namespaces", "A", false, "VMs of all namespaces.")
	cmd.Flags().StringVar(&o.sortBy, "sort-by", "", fmt.Sprintf("Largest first: %s. Default: by name.", sortings))
	sortings.Complete(cmd, "sort-by")
	o.options.AddTimeout(cmd)
	return cmd
}

// command is the verb with its flags.
type command struct {
	selection  cluster.Selection
	options    wait.Options
	everywhere bool
	sortBy     string
}

// read checks the command line, before anything is asked.
func (o *command) read(names []string) (*operation.Request, error) {
	if err := sortings.Check("sort-by", o.sortBy); err != nil {
		return nil, err
	}
	if o.everywhere && len(names) > 0 {
		return nil, failure.Usage("names are of one namespace: leave out --all-namespaces, or the names")
	}
	if err := o.selection.ReadOptional(names); err != nil {
		return nil, err
	}
	request, err := operation.NewRequest(v1alpha1.VirtualMachineOperationSpec{Type: v1alpha1.OperationMeasure}, o.options.Timeout, operation.Short)
	if err == nil {
		request.Hurry() // a host may have gone away a moment ago, which no VM says yet
	}
	return request, err
}

func (o *command) run(ctx context.Context, place *cluster.Place, request *operation.Request, streams genericiooptions.IOStreams) error {
	found, missing := o.selection.Find(ctx, place.Client, place.Namespace)
	if missing != nil && len(found) == 0 {
		return missing
	}
	named := len(o.selection.Names) > 0
	vms, note := choose(found, named)
	if note != "" {
		if _, err := fmt.Fprintln(streams.ErrOut, note); err != nil {
			return err
		}
	}
	there, outcomes := reachable(vms)
	outcomes = append(outcomes, request.Create(ctx, place.Client, there)...)
	progress := output.NewProgress(streams.ErrOut)
	err := request.Follow(ctx, place.Client, place.Namespace, outcomes, progress, nil)
	progress.Stop()
	errs := []error{missing, print(streams.Out, usages(outcomes, o.sortBy), o.everywhere)}
	failed, notes := judge(outcomes, named)
	for _, note := range notes {
		_, err := fmt.Fprintln(streams.ErrOut, note)
		errs = append(errs, err)
	}
	return errors.Join(append(append(errs, failed...), err)...)
}

// reachable returns those of vms whose host can be asked, and what is to be told
// of the others: nobody should wait for them.
func reachable(vms []v1alpha1.VirtualMachine) (there []v1alpha1.VirtualMachine, others []operation.Outcome) {
	for i := range vms {
		if !away.Is(&vms[i]) {
			there = append(there, vms[i])
			continue
		}
		others = append(others, operation.Outcome{VM: &vms[i], Err: fmt.Errorf("virtualmachine %q cannot be measured: %s", vms[i].Name, away.Why(&vms[i]))})
	}
	return there, others
}

// choose returns the VMs to measure, and what to tell the user about the others.
// Of those that the user named each is measured: the answer for one without a
// guest is an error that says so.
func choose(found []v1alpha1.VirtualMachine, named bool) (vms []v1alpha1.VirtualMachine, note string) {
	if named {
		return found, ""
	}
	for _, vm := range found {
		if wait.HasGuest(&vm) {
			vms = append(vms, vm)
		}
	}
	slices.SortFunc(vms, func(a, b v1alpha1.VirtualMachine) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	switch {
	case len(vms) == 0:
		return nil, fmt.Sprintf("No virtualmachine of %d has a guest.", len(found))
	case len(vms) > most:
		return vms[:most], fmt.Sprintf("Measured are the first %d of %d VMs: name others, or choose them with --selector.", most, len(vms))
	}
	return vms, ""
}
