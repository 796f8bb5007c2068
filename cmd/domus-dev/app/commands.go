// Package app is domus-dev's command line.
package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"domus.dev/domus/cmd/domus-dev/internal/audit"
	"domus.dev/domus/cmd/domus-dev/internal/cluster"
	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/machine"
)

// NewCommand returns domus-dev's command. version is what it says of itself.
func NewCommand(version string) *cobra.Command {
	dir := ".run/demo"
	root := &cobra.Command{
		Use:   "domus-dev",
		Short: "Run Domus on this machine: a control plane, a host with real guests, simulated hosts",
		Long: `domus-dev runs a whole Domus on this machine and in one folder: etcd and
kube-apiserver on loopback, vm-scheduler, a libvirtd of its own with real QEMU,
and simulated hosts. What it started goes on when it returns; domus-dev down
ends exactly that.`,
		Version:      version,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&dir, "dir", dir, "The folder that holds all of the cluster.")
	place := func() (layout.Layout, error) { return layout.New(dir) }
	root.AddCommand(upCommand(place), downCommand(place), statusCommand(place), auditCommand(place), hostInitCommand(place))
	return root
}

// placer says where the cluster lies, once flags are read.
type placer func() (layout.Layout, error)

func upCommand(place placer) *cobra.Command {
	o := cluster.Options{SimulatedHosts: 20, RealHost: true, DomainType: "auto", Timeout: 5 * time.Minute}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start what is not running yet, and wait until VMs can be placed",
		Long: `up starts the cluster, or what of it does not run, and returns when every host
is Ready and a VirtualMachine would be admitted. Without flags for its hosts it
keeps those the folder was last brought up with. A component whose program or
configuration has changed is started again; guests run on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Layout, err = place(); err != nil {
				return err
			}
			if o.Bin == "" {
				self, err := os.Executable()
				if err != nil {
					return fmt.Errorf("looking for the other programs: %w", err)
				}
				o.Bin = filepath.Dir(self)
			}
			if o.Bin, err = filepath.Abs(o.Bin); err != nil {
				return err
			}
			if err := o.Saved(cmd.Flags().Changed); err != nil {
				return err
			}
			say := cluster.NewProgress(cmd.OutOrStdout())
			if err := cluster.Up(cmd.Context(), o, say); err != nil {
				return err
			}
			say.Say("up", "export KUBECONFIG=%s", o.Layout.AdminKubeconfig())
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.SimulatedHosts, cluster.FlagSimulatedHosts, o.SimulatedHosts, "Number of simulated hosts, of 64 CPUs and 256 GiB in two NUMA cells each; no guest really runs there.")
	f.BoolVar(&o.RealHost, cluster.FlagRealHost, o.RealHost, "Run a host with a libvirtd of its own and real guests; needs root.")
	f.BoolVar(&o.SecondRealHost, cluster.FlagSecondRealHost, o.SecondRealHost, "Run another such host beside it, on one network with the first, for what goes from one to another.")
	f.StringVar(&o.DomainType, cluster.FlagDomainType, o.DomainType, "How real guests run: kvm, qemu (emulated), or auto: KVM where a trial shows that it works.")
	f.StringSliceVar(&o.DefinitionPlugins, cluster.FlagDefinitionPlugins, o.DefinitionPlugins, "Plugins of CNI that NetworkAttachmentDefinitions may name on real hosts; they run as root.")
	f.BoolVar(&o.Samples, "samples", false, "Apply the sample VMs of the namespace demo, and wait until all of them run.")
	f.StringVar(&o.Bin, "bin-dir", "", "The folder of the programs; this program's by default.")
	f.DurationVar(&o.Timeout, "timeout", o.Timeout, "How long each component may take to be ready, and the samples to run.")
	return cmd
}

func downCommand(place placer) *cobra.Command {
	purge := false
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End what up started, and nothing else; real guests lose power",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := place()
			if err != nil {
				return err
			}
			return cluster.Down(l, purge, cluster.NewProgress(cmd.OutOrStdout()))
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "Remove the folder with all its data, too.")
	return cmd
}

func statusCommand(place placer) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say what runs; fails when something that should does not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := place()
			if err != nil {
				return err
			}
			return cluster.Status(cmd.Context(), l, cmd.OutOrStdout())
		},
	}
}

func auditCommand(place placer) *cobra.Command {
	output, maxWrites := "table", 4
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Count the writes in the API server's audit log; fails on any write to a pod",
		Long: `audit reads the API server's audit log: every write to a pod (there must be
none), and how many writes each VM took from its creation until it ran. It fails
when there is a write to a pod, or a VM took more than --max-writes: one that
finds no host at first takes one more to say so. One whose runPolicy is not
Always may take one more, which says that its guest is about to be started.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("--output is %q: give table or json", output)
			}
			l, err := place()
			if err != nil {
				return err
			}
			report, err := audit.ReadFiles(l.AuditLog())
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				err = encoder.Encode(report)
			} else {
				err = report.Print(cmd.OutOrStdout())
			}
			if err != nil {
				return err
			}
			return report.Verdict(maxWrites)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "table or json.")
	cmd.Flags().IntVar(&maxWrites, "max-writes", maxWrites, "How many writes a VM may take from its creation until it runs, both included.")
	return cmd
}

func hostInitCommand(place placer) *cobra.Command {
	node := ""
	cmd := &cobra.Command{
		Use:    machine.InitCommand,
		Short:  "Be the first process of the real host; started by up",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := place()
			if err != nil {
				return err
			}
			return machine.Init(l, node)
		},
	}
	cmd.Flags().StringVar(&node, "node", component.RealNode, "The host's name.")
	return cmd
}
