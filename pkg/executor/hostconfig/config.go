package hostconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/qemulog"
	"domus.dev/domus/pkg/libvirt"
)

// DefaultSeedDir is beside what libvirt has in /var/lib.
const DefaultSeedDir = "/var/lib/vm-executor/seeds"

// DefaultLibvirtURI is the libvirt of the machine itself.
const DefaultLibvirtURI = "qemu:///system"

// Configuration is vm-executor's configuration file.
type Configuration struct {
	// hosts are looked after side by side and share nothing but the process.
	Hosts []HostConfiguration `json:"hosts"`
	// stateDir keeps what simulated hosts are made of; a folder that is removed
	// at the end when empty.
	StateDir string `json:"stateDir,omitempty"`
	// healthBindAddress serves /healthz and /readyz; not served when empty.
	HealthBindAddress string `json:"healthBindAddress,omitempty"`
	// metricsBindAddress serves /metrics; not served when empty. At an address that
	// is not loopback it is served by TLS, to whom the API server lets get it.
	MetricsBindAddress string `json:"metricsBindAddress,omitempty"`
	// metricsCertDir has tls.crt and tls.key for that, which are read anew when they
	// change; a certificate of its own making when empty.
	MetricsCertDir string `json:"metricsCertDir,omitempty"`
}

// HostConfiguration is about one host.
type HostConfiguration struct {
	// nodeName is the name of the host's Node and Hypervisor; left out where the flag
	// --node-name says it.
	NodeName string `json:"nodeName"`
	// kubeconfig is a path; when empty, the usual places and then the
	// service account of a pod are tried.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// certificateDir has the certificate by which the API server knows the executor,
	// which is asked for with kubeconfig and renewed; when empty, what kubeconfig has
	// is used.
	CertificateDir string `json:"certificateDir,omitempty"`
	// libvirtURI defaults to qemu:///system.
	LibvirtURI string `json:"libvirtURI,omitempty"`
	// registerNode creates the Node and keeps it alive, for a host without a
	// kubelet.
	RegisterNode bool `json:"registerNode,omitempty"`
	// labels are set on the Node.
	Labels map[string]string `json:"labels,omitempty"`
	// reserve is kept for the host itself.
	Reserve ReserveConfiguration `json:"reserve,omitempty"`
	// cpuOvercommit is the number of virtual CPUs offered for each physical CPU,
	// such as "4"; 1 when not set.
	CPUOvercommit resource.Quantity `json:"cpuOvercommit,omitempty"`
	// domainType is auto (KVM where it is seen to work), kvm or qemu.
	DomainType string `json:"domainType,omitempty"`
	// consoleLogDir is where the guests' first serial consoles are logged, in
	// <namespace>_<name>.log; not logged when empty.
	ConsoleLogDir string `json:"consoleLogDir,omitempty"`
	// seedDir is where what guests' cloud-init is told is kept, in a folder of the
	// host's own, for QEMU's user to read; default /var/lib/vm-executor/seeds.
	SeedDir string `json:"seedDir,omitempty"`
	// qemuLogDir is where libvirt keeps a log of each guest's QEMU, which says why one
	// died; default /var/log/libvirt/qemu for libvirtURI qemu:///system, and not read
	// when empty.
	QEMULogDir string `json:"qemuLogDir,omitempty"`
	// ovsBridges names the host's bridges of Open vSwitch's, which libvirt does not
	// tell from devices.
	OVSBridges []string `json:"ovsBridges,omitempty"`
	// cni lets guests have cards by the host's CNI configurations; not when not set.
	CNI *CNIConfiguration `json:"cni,omitempty"`
	// imageDir is a folder whose files VirtualDiskImages may name as their source;
	// none when empty.
	ImageDir string `json:"imageDir,omitempty"`
	// imageNetworks are the networks that images may be fetched from, as CIDRs. When
	// empty: all but loopback, link-local and multicast addresses.
	ImageNetworks []string `json:"imageNetworks,omitempty"`
	// imageGrace is how long an image is kept that no disk needs, such as 30m; an
	// hour when not set.
	ImageGrace *metav1.Duration `json:"imageGrace,omitempty"`
	// transfer is where the host exchanges the bytes of volumes with other hosts, and
	// with bearers of TransferTickets; not at all when not set.
	Transfer *TransferConfiguration `json:"transfer,omitempty"`
	// mode says how the host is shared: dedicated (the default) is for VMs alone,
	// partitioned leaves all but share to a kubelet and its pods.
	Mode Mode `json:"mode,omitempty"`
	// share is what VMs own of a partitioned host, by NUMA cell.
	Share []ShareConfiguration `json:"share,omitempty"`
	// devices are the PCI devices that guests may be given.
	Devices []DeviceConfiguration `json:"devices,omitempty"`
	// simulated makes this a host on which no guest really runs.
	Simulated *SimulatedConfiguration `json:"simulated,omitempty"`
}

// ReserveConfiguration is an amount of a host's CPUs, rounded up, and memory.
type ReserveConfiguration struct {
	CPU    resource.Quantity `json:"cpu,omitempty"`
	Memory resource.Quantity `json:"memory,omitempty"`
}

// ReadConfiguration reads, defaults and validates a configuration file. A
// field it does not know is an error.
func ReadConfiguration(path string) (*Configuration, error) {
	return readConfiguration(path, func(*Configuration) field.ErrorList { return nil })
}

// readConfiguration lets complete fill in what the file leaves out.
func readConfiguration(path string, complete func(*Configuration) field.ErrorList) (*Configuration, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	c := &Configuration{}
	doc, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("reading configuration %s: %w", path, err)
	}
	// This decoder minds upper and lower case and says where an unknown field is.
	unknown, err := json.UnmarshalStrict(doc, c)
	if err := errors.Join(append(unknown, err)...); err != nil {
		return nil, fmt.Errorf("reading configuration %s: %w", path, err)
	}
	if errs := complete(c); len(errs) > 0 {
		return nil, fmt.Errorf("reading configuration %s: %w", path, errs.ToAggregate())
	}
	c.Default()
	if errs := c.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("reading configuration %s: %w", path, errs.ToAggregate())
	}
	return c, nil
}

// Default fills what was left out.
func (c *Configuration) Default() {
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if h.LibvirtURI == "" && h.Simulated == nil {
			h.LibvirtURI = DefaultLibvirtURI
		}
		if h.SeedDir == "" && h.Simulated == nil {
			h.SeedDir = DefaultSeedDir
		}
		if h.QEMULogDir == "" && h.LibvirtURI == DefaultLibvirtURI {
			h.QEMULogDir = qemulog.DefaultDir
		}
		if h.DomainType == "" {
			h.DomainType = libvirt.DomainTypeAuto
		}
		if h.Mode == "" {
			h.Mode = ModeDedicated
		}
		if h.CPUOvercommit.IsZero() {
			h.CPUOvercommit = resource.MustParse("1")
		}
	}
}

// SeedFolder is the host's own part of seedDir, for hosts share a process and its
// configuration; "" when there is none.
func (h *HostConfiguration) SeedFolder() string {
	if h.SeedDir == "" {
		return ""
	}
	return filepath.Join(h.SeedDir, h.NodeName)
}

// Settings are the host's, as the capacity arithmetic takes them. A share has
// no reserve.
func (h *HostConfiguration) Settings() capacity.Settings {
	return capacity.Settings{
		CPUOvercommit: h.CPUOvercommit.AsApproximateFloat64(),
		Reserve:       capacity.Resources{CPU: h.Reserve.CPU.Value(), Memory: h.Reserve.Memory.Value()},
	}
}
