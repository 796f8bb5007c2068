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
	"golang.org/x/sys/unix"
	ctrl "sigs.k8s.io/controller-runtime"

	"domus.dev/domus/cmd/domus-dev/app"
)

// version is set when the program is linked.
var version = "unknown"

func main() { os.Exit(run()) }

func run() int {
	// controller-runtime's client wants a logger; what matters comes back as errors.
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	err := app.NewCommand(version).ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted; what was started runs on, domus-dev down ends it")
	}
	fmt.Fprintln(os.Stderr, "domus-dev:", err)
	return 1
}
