package app

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	kubescheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/controller"
	"domus.dev/domus/pkg/controller/binding"
	"domus.dev/domus/pkg/controller/diskmove"
	"domus.dev/domus/pkg/controller/grouping"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/metrics/ctrlruntime"
	"domus.dev/domus/pkg/plugins"
	"domus.dev/domus/pkg/plugins/disklocality"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/networkreach"
	"domus.dev/domus/pkg/plugins/waiting"
	"domus.dev/domus/pkg/podless"
)

// Run places VMs until ctx ends or leadership is lost, which ends the process.
func Run(ctx context.Context, opts *Options) error {
	shipped, err := shippedConfig()
	if err != nil {
		return err
	}
	opts.ComponentConfig = shipped
	if errs := opts.Validate(); len(errs) > 0 {
		return utilerrors.NewAggregate(errs)
	}
	cfg, err := opts.Config(ctx)
	if err != nil {
		return err
	}
	// One limit for all that is written: bindings, conditions and events.
	cfg.KubeConfig.Wrap(podless.LimitWrites(podless.MaxWritesInFlight))

	m, live, err := newManager(cfg.KubeConfig, opts, newCertificate)
	if err != nil {
		return err
	}
	vms, err := m.GetCache().GetInformer(ctx, &v1alpha1.VirtualMachine{})
	if err != nil {
		return fmt.Errorf("making the informer of VirtualMachines: %w", err)
	}
	hypervisors, err := m.GetCache().GetInformer(ctx, &v1alpha1.Hypervisor{})
	if err != nil {
		return fmt.Errorf("making the informer of Hypervisors: %w", err)
	}
	virtualDisks, err := m.GetCache().GetInformer(ctx, &v1alpha1.VirtualDisk{})
	if err != nil {
		return fmt.Errorf("making the informer of VirtualDisks: %w", err)
	}
	virtualNetworks, err := m.GetCache().GetInformer(ctx, &v1alpha1.VirtualNetwork{})
	if err != nil {
		return fmt.Errorf("making the informer of VirtualNetworks: %w", err)
	}
	// Made here, so that nobody waits for it who places a VM.
	if _, err := m.GetCache().GetInformer(ctx, &v1alpha1.VirtualDiskImage{}); err != nil {
		return fmt.Errorf("making the informer of VirtualDiskImages: %w", err)
	}
	replacer, err := vmstatus.NewReplacer(rest.AddUserAgent(rest.CopyConfig(cfg.KubeConfig), "controllers"))
	if err != nil {
		return err
	}
	status := vmstatus.NewSwift(replacer, vmstatus.New(live))
	binder := binding.New(m.GetCache(), live, status, clock.RealClock{})

	lead := newLeadership()
	hosts := fleet.New(hypervisors)
	disks := disklocality.New(virtualDisks, cachedVMs(m.GetCache()), binding.NewDisks(live)).WithImages(cachedImages(m.GetCache()))
	if err := controller.Register(&leaderManager{Manager: m, leadership: lead}, live, status, clock.RealClock{}, groups(cfg.ComponentConfig.Profiles), disks, hosts.Hypervisor); err != nil {
		return err
	}
	metrics.Register()
	ctrlruntime.Register()
	if err := diskmove.New(m.GetCache(), live, disks, clock.RealClock{}).Register(&leaderManager{Manager: m, leadership: lead}); err != nil {
		return fmt.Errorf("registering what moves disks: %w", err)
	}
	networks := networkreach.New(virtualNetworks)
	cfg.DynInformerFactory = networks.Factory(disks.Factory(hosts.Factory(cfg.DynInformerFactory)))
	cc, sched, err := podless.Setup(ctx, cfg, podless.Parts{
		VMs: vms, Writer: binder, Plugins: plugins.Registry(binder, hosts, disks, networks), Growth: plugins.Growth(), Reasons: waiting.New(hosts), PlacedEvents: opts.placedEvents(),
	})
	if err != nil {
		return err
	}
	if cfg.LeaderElection != nil {
		cfg.LeaderElection.Lock = lead.watch(cfg.LeaderElection.Lock)
	} else {
		lead.open()
	}
	if err := serveMetrics(&leaderManager{Manager: m, leadership: lead}, vms, sched, hosts); err != nil {
		return err
	}
	if opts.WebhookPort != 0 {
		if err := serveWebhooks(ctx, m, live, cc, sched, hosts, disks, networks); err != nil {
			return err
		}
	}

	// Either half ending ends the other: a scheduler without its controllers
	// would strand what it evicts.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	managed := make(chan error, 1)
	go func() {
		err := m.Start(ctx)
		cancel(err)
		managed <- err
	}()
	err = kubescheduler.Run(ctx, cc, sched)
	cancel(err)
	if managerErr := <-managed; managerErr != nil {
		return fmt.Errorf("running controllers: %w", managerErr)
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return nil
	}
	return err
}

// cachedVMs looks VMs up where the scheduler has them from.
func cachedVMs(c client.Reader) disklocality.VMs {
	return func(namespace, name string) *v1alpha1.VirtualMachine {
		vm := &v1alpha1.VirtualMachine{}
		// From a cache: it is there or it is not.
		if c.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: name}, vm) != nil {
			return nil
		}
		return vm
	}
}

// cachedImages looks images up where the controllers have them from.
func cachedImages(c client.Reader) disklocality.Images {
	return func(namespace, name string) *v1alpha1.VirtualDiskImage {
		image := &v1alpha1.VirtualDiskImage{}
		if c.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: name}, image) != nil {
			return nil
		}
		return image
	}
}

// groups says which groups of VMs the scheduler places.
func groups(profiles []config.KubeSchedulerProfile) grouping.Options {
	names := sets.New[string]()
	for _, p := range profiles {
		names.Insert(p.SchedulerName)
	}
	return grouping.Options{Enabled: utilfeature.DefaultFeatureGate.Enabled(features.GenericWorkload), SchedulerNames: names}
}
