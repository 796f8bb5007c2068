// Package faults hurts a cluster with real guests in every way that is known
// to happen, and holds what becomes of VMs against a table of what should. It
// needs root and what `make deps` installs; `make test-faults` builds the
// programs first.
package faults

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/test/internal/live"
)

var (
	tableFile = flag.String("table", "", "file for what happened, as Markdown")
	faults    = flag.Int("faults", 0, "how many processes TestRandomFaults kills; none by default")
	seed      = flag.Uint64("seed", 0, "seed of TestRandomFaults; 0 takes one from the clock")
	states    = flag.String("states", "", "hold only rows with a VM whose state has a part that this regular expression matches")
	part      = flag.String("part", "1/1", "K/N: hold only the Kth of N parts of the table, which can be held at the same time")
	keep      = flag.Bool("keep", false, "leave the cluster running after the tests, to look at")
)

// simulatedHosts is how many hosts are played beside the real one.
const simulatedHosts = 4

// env is the cluster that all tests of the package share.
var env *live.Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	bin := filepath.Join("..", "..", "bin")
	if err := live.Prerequisites(bin, "test-faults"); err != nil {
		return 1, err
	}
	// Short, for the sake of Unix sockets.
	dir, err := os.MkdirTemp("/tmp", "domus-faults-")
	if err != nil {
		return 1, err
	}
	said, err := os.Create(dir + ".log")
	if err != nil {
		return 1, err
	}
	env = &live.Cluster{Dir: dir, Bin: bin, Out: said}
	defer func() {
		_ = said.Close()
		if code != 0 || err != nil {
			fmt.Fprintln(os.Stderr, "faults: what domus-dev said is in", said.Name())
			return
		}
		_ = os.Remove(said.Name())
	}()
	defer func() {
		if *keep {
			fmt.Fprintln(os.Stderr, "faults: the cluster is left running in", dir)
			return
		}
		if ending := env.End(); err == nil {
			err = ending
		}
	}()
	// Emulated, on every machine: a trial of KVM at each start of an executor
	// would be most of what is waited for.
	if err := env.Up(fmt.Sprintf("--simulated-hosts=%d", simulatedHosts), "--domain-type=qemu"); err != nil {
		return 1, err
	}
	if err := env.Connect(); err != nil {
		return 1, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: live.Namespace}}
	if err := env.Create(context.Background(), namespace); err != nil {
		return 1, fmt.Errorf("making namespace %s: %w", live.Namespace, err)
	}
	code = m.Run()
	if err := outcomes.write(os.Stdout, *tableFile); err != nil {
		return 1, err
	}
	if code != 0 {
		env.Out = io.MultiWriter(said, os.Stderr)
		env.ShowLogs()
	}
	return code, nil
}
