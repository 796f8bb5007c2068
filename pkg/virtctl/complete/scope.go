package complete

import (
	"context"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd/api"

	"domus.dev/domus/pkg/virtctl/cluster"
)

// Scope has the flags completed that say which cluster and namespace is meant.
func Scope(cmd *cobra.Command, config *genericclioptions.ConfigFlags) {
	for flag, fn := range map[string]cobra.CompletionFunc{
		"namespace": namespaces(config),
		"context":   ofKubeconfig(config, func(c api.Config) []string { return slices.Sorted(maps.Keys(c.Contexts)) }),
		"cluster":   ofKubeconfig(config, func(c api.Config) []string { return slices.Sorted(maps.Keys(c.Clusters)) }),
		"user":      ofKubeconfig(config, func(c api.Config) []string { return slices.Sorted(maps.Keys(c.AuthInfos)) }),
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, fn); err != nil {
			panic(err) // the flag does not exist
		}
	}
}

func namespaces(config *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := cluster.Connect(config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		list := &corev1.NamespaceList{}
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

// ofKubeconfig asks no cluster.
func ofKubeconfig(config *genericclioptions.ConfigFlags, names func(api.Config) []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		raw, err := config.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names(raw), cobra.ShellCompDirectiveNoFileComp
	}
}
