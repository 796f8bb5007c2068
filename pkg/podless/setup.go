package podless

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/utils/clock"
)

// Parts are what a scheduler that places VMs is made of, beside kube-scheduler.
type Parts struct {
	// VMs arrive through this informer.
	VMs VMInformer
	// Writer takes what the scheduler writes of VMs.
	Writer Writer
	// Plugins are those that profiles may name besides kube-scheduler's own.
	Plugins frameworkruntime.Registry
	// Growth are the plugins that decide, in profiles that have them, whether a VM
	// may grow on its host; they include the one that binds.
	Growth []string
	// Reasons says why VMs wait.
	Reasons Reasons
	// PlacedEvents limits the events that VMs were placed.
	PlacedEvents PlacedEvents
}

// Setup makes a scheduler out of cfg that places VMs. Of cfg it replaces the
// client, the informer factory and the event broadcaster; everything else is
// kube-scheduler's own.
func Setup(ctx context.Context, cfg *schedulerconfig.Config, p Parts) (*schedulerconfig.CompletedConfig, *scheduler.Scheduler, error) {
	real, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(cfg.KubeConfig), "scheduler"))
	if err != nil {
		return nil, nil, fmt.Errorf("making the scheduler's client: %w", err)
	}
	eventClient, err := kubernetes.NewForConfig(cfg.KubeConfig)
	if err != nil {
		return nil, nil, fmt.Errorf("making the events client: %w", err)
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.GenericWorkload) {
		if err := requirePodGroups(real.Discovery()); err != nil {
			return nil, nil, err
		}
	}
	cfg.EventBroadcaster = events.NewEventBroadcasterAdapterWithContext(ctx, eventClient)
	tellWhoLeads(cfg)
	return SetupOn(ctx, cfg, real, p)
}

// tellWhoLeads has the lock's events written by cfg's event broadcaster: the one that
// it was made with is never started.
func tellWhoLeads(cfg *schedulerconfig.Config) {
	if cfg.LeaderElection == nil {
		return
	}
	if lock, ok := cfg.LeaderElection.Lock.(*resourcelock.LeaseLock); ok {
		lock.LockConfig.EventRecorder = cfg.EventBroadcaster.DeprecatedNewLegacyRecorder(cfg.ComponentConfig.Profiles[0].SchedulerName)
	}
}

// SetupOn is Setup with a client for all that is not a VM, and cfg's own event
// broadcaster.
func SetupOn(ctx context.Context, cfg *schedulerconfig.Config, real kubernetes.Interface, p Parts) (*schedulerconfig.CompletedConfig, *scheduler.Scheduler, error) {
	// The factory that came with cfg has a Pod informer already, and a factory
	// keeps the first: it takes a new one to have ours.
	factory := informers.NewSharedInformerFactory(real, 0)
	classes := factory.Scheduling().V1().PriorityClasses()
	source, err := newSource(ctx, p.VMs, NewPriorities(classes.Lister()), classes.Informer().HasSyncedChecker().Done())
	if err != nil {
		return nil, nil, err
	}
	projected := newProjectedPodInformer(source)
	factory.InformerFor(&corev1.Pod{}, func(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return &podInformer{real: newRealPodInformer(client, resync), projected: projected}
	})

	cfg.InformerFactory = factory
	said := newSayings(clock.RealClock{})
	if _, err := projected.AddEventHandler(said.follow()); err != nil {
		return nil, nil, fmt.Errorf("watching projected pods: %w", err)
	}
	cfg.Client = newClient(real, corelisters.NewPodLister(projected.GetIndexer()), p.Writer, said)

	cc := cfg.Complete()
	sched, err := scheduler.New(ctx, cc.Client, cc.InformerFactory, cc.DynInformerFactory,
		func(name string) events.EventRecorderLogger {
			// Events are reported by the profile that the VM chose.
			return newRecorder(cc.EventBroadcaster.NewRecorder(trimGrowth(name)), said, p.PlacedEvents)
		},
		scheduler.WithComponentConfigVersion(cc.ComponentConfig.APIVersion),
		scheduler.WithKubeConfig(cc.KubeConfig),
		scheduler.WithProfiles(withGrowth(cc.ComponentConfig.Profiles, p.Growth)...),
		scheduler.WithPercentageOfNodesToScore(cc.ComponentConfig.PercentageOfNodesToScore),
		scheduler.WithFrameworkOutOfTreeRegistry(p.Plugins),
		scheduler.WithPodMaxBackoffSeconds(cc.ComponentConfig.PodMaxBackoffSeconds),
		scheduler.WithPodInitialBackoffSeconds(cc.ComponentConfig.PodInitialBackoffSeconds),
		scheduler.WithPodMaxInUnschedulablePodsDuration(cc.PodMaxInUnschedulablePodsDuration),
		scheduler.WithExtenders(cc.ComponentConfig.Extenders...),
		scheduler.WithParallelism(cc.ComponentConfig.Parallelism),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("making the scheduler: %w", err)
	}
	observeScores(sched.Profiles)
	sched.FailureHandler = said.before(sched.FailureHandler, p.Reasons)
	return &cc, sched, nil
}
