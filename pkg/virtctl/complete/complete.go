// Package complete has a shell complete what commands take.
package complete

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
)

// timeout bounds what a shell waits for.
const timeout = 3 * time.Second

// Flag has a flag completed from values.
func Flag(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist
	}
}

// OneVM completes the name of a VM as the first argument, unless a flag is given
// that stands in for it.
func OneVM(config *genericclioptions.ConfigFlags, instead ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || slices.ContainsFunc(instead, cmd.Flags().Changed) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd.Context(), config, nil)
	}
}

// VMs completes the names of VMs, each once.
func VMs(config *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names(cmd.Context(), config, args)
	}
}

// names returns the VMs of the namespace but those given already.
func names(ctx context.Context, config *genericclioptions.ConfigFlags, given []string) ([]string, cobra.ShellCompDirective) {
	place, err := cluster.Open(config)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	list := &v1alpha1.VirtualMachineList{}
	if err := place.Client.List(ctx, list, client.InNamespace(place.Namespace)); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return choices(list.Items, given), cobra.ShellCompDirectiveNoFileComp
}

// Nodes completes the names of hosts.
func Nodes(config *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := cluster.Connect(config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		list := &v1alpha1.HypervisorList{}
		if err := c.List(ctx, list); err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// choices are names with what a shell shows beside them.
func choices(vms []v1alpha1.VirtualMachine, given []string) []string {
	all := make([]string, 0, len(vms))
	for i := range vms {
		if slices.Contains(given, vms[i].Name) {
			continue
		}
		about := string(vms[i].Status.Phase)
		if p := vms[i].Status.Placement; p != nil {
			about += " on " + p.NodeName
		}
		all = append(all, cobra.CompletionWithDesc(vms[i].Name, about))
	}
	return all
}
