package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
	"domus.dev/domus/cmd/domus-dev/internal/machine"
)

// Options say what cluster is wanted.
type Options struct {
	// Layout is the cluster's folder.
	Layout layout.Layout
	// Bin holds the programs, in its folder tools the Kubernetes ones, in guest
	// the guest images.
	Bin string
	// SimulatedHosts is how many hosts are played; RealHost adds one with guests.
	SimulatedHosts int
	RealHost       bool
	// SecondRealHost adds another one with guests.
	SecondRealHost bool
	// DomainType is kvm, qemu, or auto: KVM where a trial shows that it works.
	DomainType string
	// DefinitionPlugins are those that NetworkAttachmentDefinitions may name.
	DefinitionPlugins []string
	// Samples are applied and waited for.
	Samples bool
	// Timeout bounds each wait for a component.
	Timeout time.Duration
}

// Flags that choose the hosts.
const (
	FlagRealHost          = "real-host"
	FlagSecondRealHost    = "second-real-host"
	FlagSimulatedHosts    = "simulated-hosts"
	FlagDomainType        = "domain-type"
	FlagDefinitionPlugins = "definition-plugins"
)

// maxSimulatedHosts keeps node names to three digits.
const maxSimulatedHosts = 999

// guestImages is the folder that they are in.
func (o Options) guestImages() string { return filepath.Join(o.Bin, "guest") }

// nodes lists the Nodes that are to be.
func (o Options) nodes() []string { return append(o.realNodes(), o.simulatedNodes()...) }

func (o Options) realNodes() []string {
	if !o.RealHost {
		return nil
	}
	if o.SecondRealHost {
		return []string{component.RealNode, component.SecondNode}
	}
	return []string{component.RealNode}
}

func (o Options) simulatedNodes() []string {
	var nodes []string
	for i := 1; i <= o.SimulatedHosts; i++ {
		nodes = append(nodes, component.SimulatedNode(i))
	}
	return nodes
}

// Check says what is missing before anything is started, and how to get it.
func (o Options) Check() error {
	var wrong []error
	if o.SimulatedHosts < 0 || o.SimulatedHosts > maxSimulatedHosts {
		wrong = append(wrong, fmt.Errorf("--simulated-hosts is %d: give a number from 0 to %d", o.SimulatedHosts, maxSimulatedHosts))
	}
	if !o.RealHost && o.SimulatedHosts == 0 {
		wrong = append(wrong, errors.New("there would be no host: give --real-host or --simulated-hosts"))
	}
	if o.SecondRealHost && !o.RealHost {
		wrong = append(wrong, errors.New("--second-real-host is another one beside the first: give --real-host too"))
	}
	switch o.DomainType {
	case "auto", "kvm", "qemu":
	default:
		wrong = append(wrong, fmt.Errorf("--domain-type is %q: give auto, kvm or qemu", o.DomainType))
	}
	programs := map[string]string{
		"vm-scheduler": "make build", "vm-executor": "make build",
		"tools/etcd": "make tools", "tools/kube-apiserver": "make tools",
	}
	if o.RealHost {
		for _, image := range machine.Images {
			programs["guest/"+image] = "make guest"
		}
		if os.Geteuid() != 0 {
			wrong = append(wrong, errors.New("a real host needs root, for namespaces and mounts of its own: use sudo, or --real-host=false"))
		}
		for _, tool := range []string{"libvirtd", "virsh", "qemu-system-x86_64"} {
			if _, err := exec.LookPath(tool); err != nil {
				wrong = append(wrong, fmt.Errorf("%s is missing: run make deps, or use --real-host=false", tool))
			}
		}
	}
	for name, remedy := range programs {
		if _, err := os.Stat(filepath.Join(o.Bin, name)); err != nil {
			wrong = append(wrong, fmt.Errorf("%w: run %s", err, remedy))
		}
	}
	return errors.Join(wrong...)
}
