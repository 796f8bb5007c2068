package component

import (
	"path/filepath"

	"sigs.k8s.io/yaml"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

// KindLabel tells the demo's real host from its simulated ones.
const KindLabel = "demo.domus.dev/host"

// Values of KindLabel.
const (
	KindReal      = "real"
	KindSimulated = "simulated"
)

// zones are what hosts are spread over.
var zones = []string{"zone-a", "zone-b", "zone-c"}

// executorConfig is the part of vm-executor's configuration that is used here.
type executorConfig struct {
	Hosts              []executorHost `json:"hosts"`
	StateDir           string         `json:"stateDir"`
	HealthBindAddress  string         `json:"healthBindAddress"`
	MetricsBindAddress string         `json:"metricsBindAddress"`
}

type executorHost struct {
	NodeName      string            `json:"nodeName"`
	Kubeconfig    string            `json:"kubeconfig"`
	LibvirtURI    string            `json:"libvirtURI,omitempty"`
	RegisterNode  bool              `json:"registerNode"`
	Labels        map[string]string `json:"labels"`
	Reserve       map[string]string `json:"reserve,omitempty"`
	CPUOvercommit string            `json:"cpuOvercommit,omitempty"`
	DomainType    string            `json:"domainType,omitempty"`
	ConsoleLogDir string            `json:"consoleLogDir,omitempty"`
	SeedDir       string            `json:"seedDir,omitempty"`
	ImageDir      string            `json:"imageDir,omitempty"`
	ImageNetworks []string          `json:"imageNetworks,omitempty"`
	QEMULogDir    string            `json:"qemuLogDir,omitempty"`
	CNI           *executorCNI      `json:"cni,omitempty"`
	Devices       []offeredDevice   `json:"devices,omitempty"`
	Transfer      *transferAddress  `json:"transfer,omitempty"`
	Simulated     *simulatedHost    `json:"simulated,omitempty"`
}

type executorCNI struct {
	Networks          []string `json:"networks"`
	DefinitionPlugins []string `json:"definitionPlugins,omitempty"`
	ConfigDir         string   `json:"configDir"`
	StateDir          string   `json:"stateDir"`
	NamespaceDir      string   `json:"namespaceDir"`
	HostNamespace     string   `json:"hostNamespace"`
}

type transferAddress struct {
	BindAddress string `json:"bindAddress"`
}

// anyPort is one on loopback, where all hosts are; the host says which.
var anyPort = &transferAddress{BindAddress: "127.0.0.1:0"}

// RealExecutorConfig is for the executor of the one real host. domainType is
// auto, kvm or qemu, and definitionPlugins what NetworkAttachmentDefinitions may name.
func RealExecutorConfig(l layout.Layout, p Ports, domainType string, definitionPlugins []string) ([]byte, error) {
	return realExecutorConfig(l, l, RealNode, ExecutorReal, p.RealHealth, p.RealMetrics, domainType, definitionPlugins)
}

// SecondExecutorConfig is, likewise, for the executor of the second real host.
func SecondExecutorConfig(l layout.Layout, p Ports, domainType string, definitionPlugins []string) ([]byte, error) {
	return realExecutorConfig(l, l.Second(), SecondNode, SecondExecutor, p.SecondHealth, p.SecondMetrics, domainType, definitionPlugins)
}

// realExecutorConfig is for the executor of the host that lies at own.
func realExecutorConfig(l, own layout.Layout, node, name string, health, metrics int, domainType string, definitionPlugins []string) ([]byte, error) {
	return yaml.Marshal(executorConfig{
		Hosts: []executorHost{{
			NodeName: node, Kubeconfig: l.Kubeconfig(ExecutorName(node)),
			LibvirtURI: own.LibvirtURI(), RegisterNode: true,
			Labels: hostLabels(KindReal, 0), Transfer: anyPort,
			// The machine's other work, the control plane included, needs its part.
			Reserve: map[string]string{"memory": "2Gi"}, CPUOvercommit: "4",
			DomainType: domainType, ConsoleLogDir: l.Consoles(), SeedDir: l.Seeds(), ImageDir: l.Images(), ImageNetworks: imageNetworks,
			QEMULogDir: filepath.Join(own.Host("log"), "qemu"),
			CNI: &executorCNI{
				Networks: []string{"*"}, DefinitionPlugins: definitionPlugins,
				ConfigDir: own.CNI("net.d"), StateDir: own.CNI("state"), NamespaceDir: own.CNI("netns"), HostNamespace: own.HostNetwork(),
			},
		}},
		StateDir: l.Data(name), HealthBindAddress: Address(health), MetricsBindAddress: Address(metrics),
	})
}

// imageNetworks has images fetched from anywhere, this machine's own loopback among it.
var imageNetworks = []string{"0.0.0.0/0", "::/0"}

// ExecutorName names the kubeconfig of a host's executor.
func ExecutorName(node string) string { return "executor-" + node }

func hostLabels(kind string, i int) map[string]string {
	return map[string]string{
		KindLabel:                     kind,
		"topology.kubernetes.io/zone": zones[i%len(zones)],
	}
}
