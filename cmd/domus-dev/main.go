// Command domus-dev runs Domus on one machine: a Kubernetes control plane,
// vm-scheduler, a host with real guests and any number of simulated ones. The
// programs are those of production; only what surrounds them is smaller.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	ctrl "sigs.k8s.io/controller-runtime"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

// version is set when the program is linked.
var version = "unknown"

func main() { os.Exit(run()) }

func run() int {
	// controller-runtime's client wants a logger; what matters comes back as errors.
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	err := rootCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted; what was started runs on, domus-dev down ends it")
	}
	fmt.Fprintln(os.Stderr, "domus-dev:", err)
	return 1
}

func rootCommand() *cobra.Command {
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
