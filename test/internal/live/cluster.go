// Package live is a cluster as domus-dev runs it, with real guests, for tests
// that look at it from outside and hurt it. It needs root and the programs of
// bin/.
package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Namespace holds the tests' VMs. The guest image is called demo.tiny.qcow2,
// and is therefore this namespace's.
const Namespace = "demo"

// Banner is what the guest prints each time it has booted, Farewell what it
// prints when it has been asked to shut down.
const (
	Banner   = "DOMUS-GUEST-UP"
	Farewell = "DOMUS-GUEST-OFF"
)

// Cluster is one that domus-dev runs in Dir.
type Cluster struct {
	Dir string
	// Bin is the folder of the built programs.
	Bin string
	// Out gets what domus-dev says.
	Out io.Writer
	client.Client
	pids []int
}

// Up starts what does not run, and waits.
func (c *Cluster) Up(flags ...string) error {
	err := c.DomusDev(append([]string{"up"}, flags...)...)
	c.remember()
	return err
}

// End brings the cluster down and fails when a process of it is left.
func (c *Cluster) End() error {
	c.remember()
	if err := c.DomusDev("down", "--purge"); err != nil {
		return err
	}
	for _, pid := range c.pids {
		if command := CommandLine(pid); strings.Contains(command, c.Dir) {
			return fmt.Errorf("domus-dev down left pid %d: %s", pid, command)
		}
	}
	if _, err := os.Stat(c.Dir); err == nil {
		return fmt.Errorf("domus-dev down --purge left %s", c.Dir)
	}
	return nil
}

// remember notes the pids of all processes that name the cluster's folder.
func (c *Cluster) remember() {
	for _, pid := range Processes() {
		if strings.Contains(CommandLine(pid), c.Dir) {
			c.pids = append(c.pids, pid)
		}
	}
}

// DomusDev runs one of its commands on the cluster.
func (c *Cluster) DomusDev(args ...string) error {
	cmd := exec.Command(filepath.Join(c.Bin, "domus-dev"), append(args, "--dir", c.Dir)...)
	cmd.Stdout, cmd.Stderr = c.Out, c.Out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running domus-dev %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// Connect makes the client that the tests look and ask with.
func (c *Cluster) Connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(c.Dir, "kubeconfig"))
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

// Kill ends a component without warning.
func (c *Cluster) Kill(component string) error {
	pid, err := c.PID(component)
	if err != nil {
		return err
	}
	return Kill(pid)
}

// PID is the process of a component, as domus-dev recorded it.
func (c *Cluster) PID(component string) (int, error) {
	content, err := os.ReadFile(filepath.Join(c.Dir, "run", component+".json"))
	if err != nil {
		return 0, fmt.Errorf("looking for the process of %s: %w", component, err)
	}
	var record struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(content, &record); err != nil {
		return 0, fmt.Errorf("looking for the process of %s: %w", component, err)
	}
	return record.PID, nil
}

// Libvirtd is the private one: the only child of that name of the host's
// first process.
func (c *Cluster) Libvirtd() (int, error) {
	host, err := c.PID("host")
	if err != nil {
		return 0, err
	}
	for _, pid := range Processes() {
		if name, parent := NameAndParent(pid); name == "libvirtd" && parent == host {
			return pid, nil
		}
	}
	return 0, errors.New("the host runs no libvirtd")
}

// Virsh asks the private libvirtd.
func (c *Cluster) Virsh(args ...string) (string, error) {
	uri := "qemu+unix:///system?socket=" + c.LibvirtSocket()
	out, err := exec.Command("virsh", append([]string{"--quiet", "--connect", uri}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("virsh %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// LibvirtSocket is where the private libvirtd listens.
func (c *Cluster) LibvirtSocket() string { return filepath.Join(c.Dir, "host", "run", "libvirt-sock") }

// Console is all that a guest has written on its serial console.
func (c *Cluster) Console(name string) string {
	content, err := os.ReadFile(filepath.Join(c.Dir, "logs", "consoles", Namespace+"_"+name+".log"))
	if err != nil {
		return ""
	}
	return string(content)
}

// ShowLogs prints the end of each component's log, for a failure's cause.
func (c *Cluster) ShowLogs() {
	logs, err := filepath.Glob(filepath.Join(c.Dir, "logs", "*.log"))
	if err != nil {
		return
	}
	for _, log := range logs {
		out, err := exec.Command("tail", "-n", "40", log).Output()
		_, _ = fmt.Fprintf(c.Out, "--- %s (%v)\n%s\n", filepath.Base(log), err, out)
	}
}

// Kill ends a process without warning.
func Kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing pid %d: %w", pid, err)
	}
	return nil
}
