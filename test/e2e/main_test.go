// Package e2e runs Domus as its users do: with the built programs, through
// domus-dev, on a private libvirtd with real QEMU. It needs root and what
// `make deps` installs; `make test-e2e` builds the programs first.
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"domus.dev/domus/test/internal/live"
)

// keepVariable, when set in the environment, leaves the cluster running after
// the tests, to look at.
const keepVariable = "DOMUS_E2E_KEEP"

// env is the cluster that all tests of the package share.
var env *cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	if err := live.Prerequisites(bin, "test-e2e"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	// Before the host is described.
	putBack, err := setPagesAside(guestPages)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer func() {
		if err := putBack(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			code = 1
		}
	}()
	// Short, for the sake of Unix sockets.
	dir, err := os.MkdirTemp("/tmp", "domus-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	env = newCluster(dir)
	defer func() {
		if err := env.end(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			code = 1
		}
	}()
	if err := env.up("--simulated-hosts=2"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if err := env.connect(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code = m.Run()
	// Whatever the tests did, no pod was written for it, and few writes to each VM.
	if err := env.domusDev("audit", "--max-writes="+mostWrites); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	if code != 0 {
		env.showLogs()
	}
	return code
}

// mostWrites is how many writes a VM may take until it runs where hosts, libvirt,
// scheduler and executors are killed meanwhile; one that is left alone takes 4, as
// TestASimulatedHostTakesAVMWithFewWritesAndNoPod holds.
const mostWrites = "8"

// bin is the folder of the built programs.
var bin = filepath.Join("..", "..", "bin")

// program is the path of something in it.
func program(name string) string { return filepath.Join(bin, name) }
