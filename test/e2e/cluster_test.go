package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/test/internal/live"
)

// cluster is a live one whose failures end the test.
type cluster struct {
	*live.Cluster
	dir string
}

func newCluster(dir string) *cluster {
	return &cluster{Cluster: &live.Cluster{Dir: dir, Bin: bin, Out: os.Stderr}, dir: dir}
}

func (c *cluster) up(flags ...string) error      { return c.Up(flags...) }
func (c *cluster) connect() error                { return c.Connect() }
func (c *cluster) domusDev(args ...string) error { return c.DomusDev(args...) }
func (c *cluster) console(name string) string    { return c.Console(name) }
func (c *cluster) showLogs()                     { c.ShowLogs() }

// end brings the cluster down, unless it is to be looked at.
func (c *cluster) end() error {
	if os.Getenv(keepVariable) != "" {
		fmt.Fprintf(os.Stderr, "e2e: the cluster is left running in %s\n", c.dir)
		return nil
	}
	return c.End()
}

// kill ends a component without warning.
func (c *cluster) kill(t *testing.T, component string) {
	t.Helper()
	if err := c.Kill(component); err != nil {
		t.Fatal(err)
	}
}

// pid is the process of a component.
func (c *cluster) pid(t *testing.T, component string) int {
	t.Helper()
	pid, err := c.PID(component)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// libvirtd is the private one.
func (c *cluster) libvirtd(t *testing.T) int {
	t.Helper()
	pid, err := c.Libvirtd()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// domains lists the private libvirtd's domains, running or not.
func (c *cluster) domains(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(c.virsh(t, "list", "--all", "--uuid"))
}

// domain is a domain as the private libvirtd has it now.
func (c *cluster) domain(t *testing.T, uuid string) *libvirtxml.Domain {
	t.Helper()
	d := &libvirtxml.Domain{}
	if err := d.Unmarshal(c.virsh(t, "dumpxml", uuid)); err != nil {
		t.Fatal(err)
	}
	return d
}

func (c *cluster) virsh(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.Virsh(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// qemu is the process that runs a domain; 0 when there is none.
func qemu(uuid string) int { return live.QEMU(uuid) }

// commandLine is empty for a process that has ended.
func commandLine(pid int) string { return live.CommandLine(pid) }

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := live.Kill(pid); err != nil {
		t.Fatal(err)
	}
}
