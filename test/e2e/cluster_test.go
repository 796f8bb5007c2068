package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// cluster is one that domus-dev runs in dir.
type cluster struct {
	dir string
	client.Client
	pids []int
}

// up starts what does not run, and waits.
func (c *cluster) up(flags ...string) error {
	err := c.domusDev(append([]string{"up"}, flags...)...)
	c.remember()
	return err
}

// end brings the cluster down and fails when a process of it is left.
func (c *cluster) end() error {
	if os.Getenv(keepVariable) != "" {
		fmt.Fprintf(os.Stderr, "e2e: the cluster is left running in %s\n", c.dir)
		return nil
	}
	c.remember()
	if err := c.domusDev("down", "--purge"); err != nil {
		return err
	}
	for _, pid := range c.pids {
		if command := commandLine(pid); strings.Contains(command, c.dir) {
			return fmt.Errorf("domus-dev down left pid %d: %s", pid, command)
		}
	}
	if _, err := os.Stat(c.dir); err == nil {
		return fmt.Errorf("domus-dev down --purge left %s", c.dir)
	}
	return nil
}

// remember notes the pids of all processes that name the cluster's folder.
func (c *cluster) remember() {
	for _, pid := range processes() {
		if strings.Contains(commandLine(pid), c.dir) {
			c.pids = append(c.pids, pid)
		}
	}
}

func (c *cluster) domusDev(args ...string) error {
	cmd := exec.Command(program("domus-dev"), append(args, "--dir", c.dir)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running domus-dev %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// connect makes the client that the tests look and ask with.
func (c *cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(c.dir, "kubeconfig"))
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	c.Client, err = client.New(config, client.Options{Scheme: scheme})
	return err
}

// kill ends a component without warning.
func (c *cluster) kill(t *testing.T, component string) {
	t.Helper()
	kill(t, c.pid(t, component))
}

// pid is the process of a component, as domus-dev recorded it.
func (c *cluster) pid(t *testing.T, component string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, "run", component+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(content, &record); err != nil {
		t.Fatal(err)
	}
	return record.PID
}

// libvirtd is the private one: the only child of that name of the host's
// first process.
func (c *cluster) libvirtd(t *testing.T) int {
	t.Helper()
	host := c.pid(t, "host")
	for _, pid := range processes() {
		name, parent := nameAndParent(pid)
		if name == "libvirtd" && parent == host {
			return pid
		}
	}
	t.Fatal("the host runs no libvirtd")
	return 0
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
	uri := "qemu+unix:///system?socket=" + filepath.Join(c.dir, "host", "run", "libvirt-sock")
	out, err := exec.Command("virsh", append([]string{"--quiet", "--connect", uri}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("virsh %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// console is all that a guest has written on its serial console.
func (c *cluster) console(name string) string {
	content, err := os.ReadFile(filepath.Join(c.dir, "logs", "consoles", namespace+"_"+name+".log"))
	if err != nil {
		return ""
	}
	return string(content)
}

// showLogs prints the end of each component's log, for a failure's cause.
func (c *cluster) showLogs() {
	logs, err := filepath.Glob(filepath.Join(c.dir, "logs", "*.log"))
	if err != nil {
		return
	}
	for _, log := range logs {
		out, err := exec.Command("tail", "-n", "40", log).Output()
		fmt.Fprintf(os.Stderr, "--- %s (%v)\n%s\n", filepath.Base(log), err, out)
	}
}

// qemu is the process that runs a domain; 0 when there is none.
func qemu(uuid string) int {
	for _, pid := range processes() {
		command := commandLine(pid)
		if strings.Contains(command, "qemu-system") && strings.Contains(command, "-uuid "+uuid) {
			return pid
		}
	}
	return 0
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("killing pid %d: %v", pid, err)
	}
}

func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// commandLine is empty for a process that has ended.
func commandLine(pid int) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(content), "\x00", " ")
}

func nameAndParent(pid int) (name string, parent int) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", 0
	}
	fields := statusFields(string(content))
	parent, _ = strconv.Atoi(fields["PPid"])
	return fields["Name"], parent
}
