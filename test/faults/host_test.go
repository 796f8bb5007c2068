package faults

import (
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"domus.dev/domus/test/internal/live"
)

// inHost runs a command where the real host mounts its folders.
func inHost(t *testing.T, command ...string) {
	t.Helper()
	host, err := env.PID("host")
	must(t, err)
	shell(t, append([]string{"nsenter", "--target", strconv.Itoa(host), "--mount", "--pid"}, command...)...)
}

func shell(t *testing.T, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", command, err, out)
	}
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("sending %s to pid %d: %v", s, pid, err)
	}
}

func pid(t *testing.T, component string) int {
	t.Helper()
	p, err := env.PID(component)
	must(t, err)
	return p
}

// kill ends components without warning, one right after the other.
func kill(t *testing.T, components ...string) {
	t.Helper()
	for _, component := range components {
		p := pid(t, component)
		signal(t, p, syscall.SIGKILL)
		within(t, bootTime, component+" has ended", func() string {
			if live.CommandLine(p) != "" {
				return "it has not"
			}
			return ""
		})
	}
}

func killLibvirtd(t *testing.T) {
	t.Helper()
	p, err := env.Libvirtd()
	must(t, err)
	signal(t, p, syscall.SIGKILL)
}

// up starts what does not run.
func up(t *testing.T) {
	t.Helper()
	must(t, env.Up())
}

// Components, as domus-dev names them.
const (
	etcd      = "etcd"
	apiServer = "kube-apiserver"
	scheduler = "vm-scheduler"
	executor  = "vm-executor-real"
	simulated = "vm-executor-simulated"
	realHost  = "host"
)
