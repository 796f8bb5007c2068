// Command bench compares vm-scheduler, which places VirtualMachines, with stock
// kube-scheduler, which places Pods, on one control plane and the same Nodes,
// side by side in one run. See ../README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	ctrl.SetLogger(klog.Background())
	// A bench that is broken off takes its control plane with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	nodes, workloads, pairs int
	bound                   int
	shapes                  []string
	mode                    string
	rate                    int
	out, markdown           string
	assets, bin             string
	only                    string
	profile                 string
	timeout                 time.Duration
	verbosity               int
}

func newCommand() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:          "bench",
		Short:        "Place Pods with kube-scheduler and VirtualMachines with vm-scheduler, in turns",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 1000, "number of Nodes")
	f.IntVar(&o.workloads, "workloads", 2000, "number of Pods or VirtualMachines placed in a run")
	f.IntVar(&o.pairs, "pairs", 5, "number of pairs of runs for each shape; the order in a pair alternates")
	f.IntVar(&o.bound, "bound", 0, "VirtualMachines that are on hosts already, for --only domus")
	f.StringSliceVar(&o.shapes, "shapes", []string{"plain"}, fmt.Sprintf("what the workloads ask for: %v", shapeNames()))
	f.StringVar(&o.mode, "mode", modeBacklog, "backlog (all are created before the scheduler starts), burst (created as fast as possible while it runs) or steady (created at --rate)")
	f.IntVar(&o.rate, "rate", 10, "workloads created per second in mode steady")
	f.StringVar(&o.out, "out", "", "file for the results as JSON; results of other shapes in it are kept")
	f.StringVar(&o.markdown, "markdown", "", "file for the results as a Markdown table")
	f.StringVar(&o.assets, "assets", "bin/tools", "folder of etcd, kube-apiserver and kube-scheduler")
	f.StringVar(&o.bin, "bin", "bin", "folder of vm-scheduler")
	f.StringVar(&o.only, "only", "", "run one side alone: stock or domus")
	f.StringVar(&o.profile, "profile", "", "folder for CPU profiles of schedulers and API server, taken amid the run")
	f.IntVar(&o.verbosity, "verbosity", 0, "of the schedulers' logs, which are in a temporary folder while the bench runs")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "the longest one run may take")
	cmd.AddCommand(newCheckCommand(), newTableCommand(), newWatchersCommand(), newExecutorCommand(), newRelistCommand(), newStartStopCommand())
	return cmd
}
