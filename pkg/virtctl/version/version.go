// Package version tells which versions of Domus are at work.
package version

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/failure"
)

// New returns `virtctl version`.
func New(programVersion string, config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of virtctl and of the executors on the hosts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lines := []string{"virtctl: " + programVersion}
			if clientOnly {
				return print(streams.Out, lines)
			}
			c, err := cluster.Connect(config)
			if err != nil {
				return fmt.Errorf("%w (--client asks no cluster)", err)
			}
			hosts := &v1alpha1.HypervisorList{}
			if err := c.List(cmd.Context(), hosts); err != nil {
				return failure.API(err, "listing hypervisors")
			}
			return print(streams.Out, append(lines, summary(hosts.Items)...))
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Print this program's version only, and ask no cluster.")
	return cmd
}

func print(out io.Writer, lines []string) error {
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// summary counts hosts by executor and libvirt version, a line each.
func summary(hosts []v1alpha1.Hypervisor) []string {
	count := map[string]int{}
	for i := range hosts {
		v := hosts[i].Status.Versions
		count[fmt.Sprintf("vm-executor: %s, libvirt: %s", known(v.Executor), known(v.Libvirt))]++
	}
	var lines []string
	for _, versions := range slices.Sorted(maps.Keys(count)) {
		lines = append(lines, fmt.Sprintf("%s (hosts: %d)", versions, count[versions]))
	}
	return lines
}

func known(v string) string {
	if v == "" {
		return "unknown"
	}
	return v
}
