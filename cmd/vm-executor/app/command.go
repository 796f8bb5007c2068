// Package app is vm-executor's command line.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"domus.dev/domus/pkg/executor"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/qemulog"
)

// options are the flags: those of one host, or a file for several.
type options struct {
	file string
	// advertiseAddress is of the host that a file is shared by.
	advertiseAddress string

	host hostconfig.HostConfiguration

	stateDir, metricsBindAddress, metricsCertDir, healthBindAddress string
	cpuOvercommit, reserveCPU, reserveMemory                        string
}

// hostFlags are those that a configuration file takes the place of.
var hostFlags = []string{
	"kubeconfig", "certificate-dir", "libvirt-uri", "register-node", "node-labels", "cpu-overcommit", "reserve-cpu",
	"reserve-memory", "domain-type", "console-log-dir", "qemu-log-dir", "image-dir", "image-networks", "metrics-bind-address", "metrics-cert-dir", "health-bind-address",
}

// NewCommand returns vm-executor's command. version is what it says of itself.
func NewCommand(version string) *cobra.Command {
	o := &options{}
	logs := logsapi.NewLoggingConfiguration()
	cmd := &cobra.Command{
		Use:   "vm-executor",
		Short: "Run the VirtualMachines bound to this host on its libvirt",
		Long: `vm-executor reports what a host has to the cluster, and runs the
VirtualMachines bound to the host as libvirt domains.

The flags describe one host, usually this machine; --config names a file that
describes any number of them. Guests run on when it is stopped.`,
		Version:      version,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := logsapi.ValidateAndApply(logs, nil); err != nil {
				return err
			}
			ctrllog.SetLogger(klog.Background())
			config, err := o.configuration(cmd.Flags())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			// A second signal ends the process at once; guests run on either way.
			context.AfterFunc(ctx, stop)
			return executor.Run(ctx, config, version)
		},
	}
	o.addFlags(cmd.Flags())
	logsapi.AddFlags(logs, cmd.Flags())
	return cmd
}

func (o *options) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.file, "config", "", "Configuration file for one or more hosts. Of the flags about the host only --node-name and --advertise-address can be given beside it, for a file that many hosts share.")
	fs.StringVar(&o.host.NodeName, "node-name", "", "Name of the host's Node and Hypervisor. Defaults to the host name in lower case.")
	fs.StringVar(&o.advertiseAddress, "advertise-address", "", "Address that other hosts reach this one by, for the transfer.advertiseAddress of a --config that many hosts share. Needs --node-name.")
	fs.StringVar(&o.host.Kubeconfig, "kubeconfig", "", "Path of the kubeconfig. Defaults to $KUBECONFIG, ~/.kube/config, and then to the pod's service account.")
	fs.StringVar(&o.host.CertificateDir, "certificate-dir", "", "Folder for the host's own certificate, asked for with the kubeconfig and renewed. When empty: what the kubeconfig has is used.")
	fs.StringVar(&o.host.LibvirtURI, "libvirt-uri", hostconfig.DefaultLibvirtURI, "URI of the host's libvirt.")
	fs.BoolVar(&o.host.RegisterNode, "register-node", false, "Create the host's Node and keep it alive. For a host without a kubelet.")
	fs.StringToStringVar(&o.host.Labels, "node-labels", nil, "Labels to set on the Node: key=value,...")
	fs.StringVar(&o.cpuOvercommit, "cpu-overcommit", "1", "Virtual CPUs offered for each physical CPU that is not reserved.")
	fs.StringVar(&o.reserveCPU, "reserve-cpu", "0", "CPUs kept for the host itself, rounded up to whole ones.")
	fs.StringVar(&o.reserveMemory, "reserve-memory", "512Mi", "Memory kept for the host itself.")
	fs.StringVar(&o.host.DomainType, "domain-type", "auto", "What guests run on: kvm, qemu (emulation), or auto: kvm where a trial guest boots with it.")
	fs.StringVar(&o.host.ConsoleLogDir, "console-log-dir", "", "Folder for what the guests print on their first serial console, in <namespace>_<name>.log. Not logged when empty.")
	fs.StringVar(&o.host.QEMULogDir, "qemu-log-dir", "", "Folder of the logs that libvirt keeps of each guest's QEMU, which say why one died. Defaults to "+qemulog.DefaultDir+" for libvirt at "+hostconfig.DefaultLibvirtURI+".")
	fs.StringVar(&o.host.ImageDir, "image-dir", "", "Folder whose files VirtualDiskImages may name as their source. None when empty.")
	fs.StringSliceVar(&o.host.ImageNetworks, "image-networks", nil, "Networks that images may be fetched from, such as 10.1.0.0/16,192.0.2.0/24. When empty: all but loopback, link-local and multicast addresses.")
	fs.StringVar(&o.stateDir, "state-dir", "", "Folder for the descriptions of simulated hosts. A temporary one when empty.")
	fs.StringVar(&o.metricsBindAddress, "metrics-bind-address", "", "Address of /metrics, such as 127.0.0.1:9410. Not served when empty. At an address that is not loopback it is served by TLS, to whom the API server lets get /metrics.")
	fs.StringVar(&o.metricsCertDir, "metrics-cert-dir", "", "Folder with tls.crt and tls.key for /metrics by TLS. A certificate of its own making when empty.")
	fs.StringVar(&o.healthBindAddress, "health-bind-address", "", "Address of /healthz and /readyz, such as 127.0.0.1:9411. Not served when empty.")
}

// configuration makes one configuration of the file or of the flags.
func (o *options) configuration(fs *pflag.FlagSet) (*hostconfig.Configuration, error) {
	if o.file != "" {
		for _, name := range hostFlags {
			if fs.Changed(name) {
				return nil, fmt.Errorf("--%s cannot be given beside --config: write it into %s", name, o.file)
			}
		}
		read := hostconfig.ReadConfiguration
		if node := o.host.NodeName; node != "" {
			read = func(path string) (*hostconfig.Configuration, error) {
				return hostconfig.ReadConfigurationOf(path, node, o.advertiseAddress)
			}
		} else if o.advertiseAddress != "" {
			return nil, errors.New("--advertise-address is for a file that many hosts share: give --node-name too, or write it into transfer.advertiseAddress")
		}
		config, err := read(o.file)
		if err == nil && o.stateDir != "" {
			config.StateDir = o.stateDir
		}
		return config, err
	}
	if o.advertiseAddress != "" {
		return nil, errors.New("--advertise-address is for the transfer of a configuration file: give --config")
	}
	host := o.host
	if host.NodeName == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("finding the host's name: %w: give it with --node-name", err)
		}
		host.NodeName = strings.ToLower(name)
	}
	for _, q := range []struct {
		flag, text string
		to         *resource.Quantity
	}{
		{"cpu-overcommit", o.cpuOvercommit, &host.CPUOvercommit},
		{"reserve-cpu", o.reserveCPU, &host.Reserve.CPU},
		{"reserve-memory", o.reserveMemory, &host.Reserve.Memory},
	} {
		var err error
		if *q.to, err = resource.ParseQuantity(q.text); err != nil {
			return nil, fmt.Errorf("--%s %s: %w", q.flag, q.text, err)
		}
	}
	config := &hostconfig.Configuration{
		Hosts: []hostconfig.HostConfiguration{host}, StateDir: o.stateDir,
		MetricsBindAddress: o.metricsBindAddress, MetricsCertDir: o.metricsCertDir, HealthBindAddress: o.healthBindAddress,
	}
	config.Default()
	if errs := config.Validate(); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return config, nil
}
