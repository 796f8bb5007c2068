package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/networks"
	"domus.dev/domus/pkg/executor/networks/leftover"
	"domus.dev/domus/pkg/executor/service"
	"domus.dev/domus/pkg/executor/statistics"
	"domus.dev/domus/pkg/libvirt"
)

// Run looks after all hosts of the configuration until ctx ends. It returns an
// error only for what cannot get better by waiting. version is the program's.
func Run(ctx context.Context, config *hostconfig.Configuration, version string) error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	stateDir := config.StateDir
	if stateDir == "" {
		dir, err := os.MkdirTemp("", "vm-executor-")
		if err != nil {
			return fmt.Errorf("making a folder for state: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		stateDir = dir
	}
	var hosts []*hostRun
	defer func() {
		for _, h := range hosts {
			h.host.Close()
		}
	}()
	for i := range config.Hosts {
		h, err := prepare(ctx, config.Hosts[i], scheme, stateDir, version)
		if err != nil {
			return fmt.Errorf("host %s: %w", config.Hosts[i].NodeName, err)
		}
		hosts = append(hosts, h)
	}
	stopCollecting, err := collect(hosts)
	if err != nil {
		return err
	}
	defer stopCollecting()
	stopServing, err := serve(ctx, config, hosts[0].restConfig, func() error { return notReady(hosts) })
	if err != nil {
		return err
	}
	defer stopServing()

	var running sync.WaitGroup
	running.Go(func() { service.Run(ctx, hostsWatched(hosts)) })
	for _, h := range hosts {
		running.Go(func() { h.run(ctx) })
	}
	running.Wait()
	return nil
}

func notReady(hosts []*hostRun) error {
	var errs []error
	for _, h := range hosts {
		if !h.agent.Ready() {
			errs = append(errs, fmt.Errorf("host %s: the cluster or libvirt has not been reached", h.agent.config.NodeName))
		}
	}
	return errors.Join(errs...)
}

// hostRun is all there is of one host.
type hostRun struct {
	host      libvirt.Host
	agent     *Agent
	watch     *Watch
	clientset kubernetes.Interface
	broadcast events.EventBroadcaster
	// statistics are for metrics.
	statistics *statistics.Collector
	restConfig *rest.Config
	// claim is of a host without a kubelet, on a real machine.
	claim *claim
}

func prepare(ctx context.Context, config hostconfig.HostConfiguration, scheme *runtime.Scheme, stateDir, version string) (*hostRun, error) {
	service.Tell(ctx, "Host "+config.NodeName+": connecting to the cluster")
	restConfig, err := credentialsOf(ctx, &config)
	if err != nil {
		return nil, err
	}
	live, err := client.New(restConfig, client.Options{Scheme: scheme, Mapper: newMapper()})
	if err != nil {
		return nil, fmt.Errorf("preparing the client: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("preparing the client: %w", err)
	}
	watch, err := NewWatch(restConfig, scheme, live, config.NodeName)
	if err != nil {
		return nil, err
	}
	if config.ConsoleLogDir != "" && config.Simulated == nil {
		// libvirt wants a whole path.
		if config.ConsoleLogDir, err = filepath.Abs(config.ConsoleLogDir); err != nil {
			return nil, fmt.Errorf("finding the folder of console logs: %w", err)
		}
		// What guests print is theirs alone.
		if err := os.MkdirAll(config.ConsoleLogDir, 0o750); err != nil {
			return nil, fmt.Errorf("making the folder of console logs: %w", err)
		}
	}
	if config.SeedDir == "" {
		config.SeedDir = filepath.Join(stateDir, "seeds") // a simulated host's
	}
	if config.SeedDir, err = filepath.Abs(config.SeedDir); err != nil {
		return nil, fmt.Errorf("finding the folder of seeds: %w", err)
	}
	var host libvirt.Host
	if config.Simulated != nil {
		host, err = libvirt.Simulate(stateDir, config.NodeName, config.Simulated.Simulation())
		if err != nil {
			return nil, err
		}
	} else {
		host = libvirt.Connect(config.LibvirtURI)
	}
	server, err := listen(&config)
	if err != nil {
		host.Close()
		return nil, err
	}
	var leftovers networks.Leftovers
	if config.Simulated == nil {
		leftovers = leftover.New(config.LibvirtURI)
	}
	var mine *claim
	machine := ""
	var claimed func(context.Context) bool
	if config.RegisterNode && config.Simulated == nil {
		machine = systemUUID()
		mine = newClaim(config.NodeName, machine, clientset, clock.RealClock{})
		claimed = mine.wait
	}
	broadcast := events.NewBroadcaster(&events.EventSinkImpl{Interface: clientset.EventsV1()})
	agent := NewAgent(Options{
		Config: config, Host: host, Live: live, VMs: watch, Operations: watch, Disks: watch, Images: watch, Snapshots: watch, Networks: watch,
		Leftovers: leftovers, Transfer: server, Version: version, Machine: machine, Claim: claimed,
		Recorder: broadcast.NewRecorder(scheme, component), Clock: clock.RealClock{},
	})
	return &hostRun{
		claim: mine, host: host, watch: watch, clientset: clientset, broadcast: broadcast, restConfig: restConfig,
		agent: agent, statistics: statisticsOf(config.NodeName, host, agent),
	}, nil
}

func (h *hostRun) run(ctx context.Context) {
	logger := klog.FromContext(ctx).WithValues(keyNode, h.agent.config.NodeName)
	logger.Info("Looking after a host", keyLibvirt, h.agent.config.LibvirtURI)
	if err := h.broadcast.StartRecordingToSinkWithContext(ctx); err != nil {
		logger.Error(err, "Events will not be reported")
	}
	defer h.broadcast.Shutdown()
	var running sync.WaitGroup
	running.Go(func() { h.agent.Run(ctx) })
	running.Go(func() { h.statistics.Run(ctx) })
	running.Go(func() {
		if err := h.watch.Run(ctx, h.agent); err != nil {
			logger.Error(err, "The watch ended")
		}
	})
	if lease := h.agent.Lease(h.clientset); lease != nil {
		running.Go(func() {
			if h.claim == nil || h.claim.held(ctx) {
				lease.Run(ctx)
			}
		})
	}
	running.Wait()
}
