// Package e2e runs Domus as its users do: with the built programs, through
// domus-dev, on a private libvirtd with real QEMU. It needs root and what
// `make deps` installs; `make test-e2e` builds the programs first.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// keepVariable, when set in the environment, leaves the cluster running after
// the tests, to look at.
const keepVariable = "DOMUS_E2E_KEEP"

// env is the cluster that all tests of the package share.
var env *cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	if err := prerequisites(); err != nil {
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
	env = &cluster{dir: dir}
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
	// Whatever the tests did, no pod was written for it.
	if err := env.domusDev("audit"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	if code != 0 {
		env.showLogs()
	}
	return code
}

// prerequisites says everything that is missing, with the remedy.
func prerequisites() error {
	var wrong []error
	if os.Geteuid() != 0 {
		wrong = append(wrong, errors.New("root is needed for a host with real guests: run make test-e2e, which uses sudo"))
	}
	for _, tool := range []string{"libvirtd", "virsh", "qemu-system-x86_64"} {
		if _, err := exec.LookPath(tool); err != nil {
			wrong = append(wrong, fmt.Errorf("%s is missing: run make deps", tool))
		}
	}
	for _, name := range []string{"domus-dev", "vm-scheduler", "vm-executor", "tools/etcd", "tools/kube-apiserver", "guest/tiny.qcow2", "guest/agent.qcow2"} {
		if _, err := os.Stat(program(name)); err != nil {
			wrong = append(wrong, fmt.Errorf("%w: run make build tools guest", err))
		}
	}
	return errors.Join(wrong...)
}

// program is the path of something in bin/.
func program(name string) string { return filepath.Join("..", "..", "bin", name) }
