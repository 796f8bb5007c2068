// Package host lets hosts without a kubelet join a cluster.
package host

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// New returns `virtctl host`.
func New(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Have hosts join the cluster",
		Long: `Have hosts without a kubelet join the cluster. Hosts that are there already are
listed by kubectl get hypervisors.`,
		Example:           `  virtctl host add node-7 --api-server https://192.0.2.10:6443 --output node-7.kubeconfig`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAdd(config, streams))
	return cmd
}
