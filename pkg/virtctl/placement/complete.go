package placement

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
)

// completionTimeout bounds what a shell waits for.
const completionTimeout = 3 * time.Second

// Complete has a flag completed from values.
func Complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist
	}
}

// OneVM completes the name of a VM as the first argument.
func OneVM(config *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || cmd.Flags().Changed("filename") {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		namespace, err := NamespaceOf(config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		c, err := cluster.Connect(config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		return vmNames(ctx, c, namespace.Name)
	}
}

func vmNames(ctx context.Context, c client.Client, namespace string) ([]string, cobra.ShellCompDirective) {
	list := &v1alpha1.VirtualMachineList{}
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
