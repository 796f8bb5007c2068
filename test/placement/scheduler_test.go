package placement

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/dynamicinformer"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	configscheme "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/explain"
	"domus.dev/domus/pkg/plugins"
	"domus.dev/domus/pkg/plugins/disklocality"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/networkreach"
	"domus.dev/domus/pkg/plugins/waiting"
	"domus.dev/domus/pkg/podless"
)

// api is what the scheduler reads besides VMs: Nodes, Hypervisors and VirtualDisks. It
// outlives schedulers.
type api struct {
	nodes       *fake.Clientset
	hypervisors *hypervisors
	disks       *disks
}

func newAPI() *api {
	return &api{nodes: fake.NewSimpleClientset(), hypervisors: &hypervisors{all: map[string]*v1alpha1.Hypervisor{}}, disks: newDisks()}
}

// hypervisors is the informer of Hypervisors that the plugins look at.
type hypervisors struct {
	mu       sync.Mutex
	all      map[string]*v1alpha1.Hypervisor
	handlers []*delivery
}

// AddEventHandler implements inorder.Informer.
func (h *hypervisors) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := deliver(handler)
	h.handlers = append(h.handlers, d)
	for _, hv := range h.all {
		d.send(func() { handler.OnAdd(hv, true) })
	}
	d.listed()
	return d, nil
}

func (h *hypervisors) set(hv *v1alpha1.Hypervisor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.all[hv.Name]
	h.all[hv.Name] = hv
	for _, d := range h.handlers {
		d.send(func() {
			if old == nil {
				d.handler.OnAdd(hv, false)
				return
			}
			d.handler.OnUpdate(old, hv)
		})
	}
}

func (h *hypervisors) unplug() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.handlers {
		d.stop()
	}
	h.handlers = nil
}

// noNetworks is an informer of VirtualNetworks that has delivered all there is: none.
type noNetworks struct{}

// AddEventHandler implements inorder.Informer.
func (noNetworks) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return noNetworks{}, nil
}
func (noNetworks) HasSynced() bool                     { return true }
func (noNetworks) HasSyncedChecker() cache.DoneChecker { return nil }

// running is the real scheduler at work on an api and a store.
type running struct {
	queue interface {
		PodsInActiveQ() []*corev1.Pod
		InFlightPods() []*corev1.Pod
	}
	fleet     *fleet.Fleet
	explainer *explain.Explainer
	stop      func()
}

// shipped is the configuration that vm-scheduler ships.
func shipped(t testing.TB) *config.KubeSchedulerConfiguration {
	t.Helper()
	obj, gvk, err := configscheme.Codecs.UniversalDecoder().Decode(manifests.SchedulerConfig, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg, ok := obj.(*config.KubeSchedulerConfiguration)
	if !ok {
		t.Fatalf("the shipped configuration is a %s", gvk)
	}
	cfg.APIVersion = gvk.GroupVersion().String()
	// VMs are tried again at once, and always on all hosts.
	cfg.PodInitialBackoffSeconds, cfg.PodMaxBackoffSeconds = 0, 0
	all := int32(100)
	cfg.PercentageOfNodesToScore = &all
	cfg.Parallelism = 2
	return cfg
}

func (a *api) start(cfg *config.KubeSchedulerConfiguration, s *store) (*running, error) {
	ctx, cancel := context.WithCancel(context.Background())
	hosts := fleet.New(a.hypervisors)
	connection := &session{store: s, disks: a.disks}
	disks, networks := disklocality.New(a.disks, s.lookUp, connection), networkreach.New(noNetworks{})
	cc, sched, err := podless.SetupOn(ctx, &schedulerconfig.Config{
		ComponentConfig:                   *cfg,
		DynInformerFactory:                networks.Factory(disks.Factory(hosts.Factory(dynamicinformer.NewDynamicSharedInformerFactory(dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()), 0)))),
		EventBroadcaster:                  events.NewEventBroadcasterAdapterWithContext(ctx, a.nodes),
		PodMaxInUnschedulablePodsDuration: time.Second,
	}, a.nodes, podless.Parts{
		VMs: s, Writer: connection, Plugins: plugins.Registry(connection, hosts, disks, networks), Growth: plugins.Growth(), Reasons: waiting.New(hosts),
		PlacedEvents: flowcontrol.NewFakeAlwaysRateLimiter(),
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("making the scheduler: %w", err)
	}
	explainer, err := explain.New(ctx, cc, sched, hosts, disks, networks)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("making the explainer: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx, cc, sched)
	}()
	return &running{queue: sched.SchedulingQueue, fleet: hosts, explainer: explainer, stop: func() {
		connection.close()
		s.unplug()
		a.hypervisors.unplug()
		a.disks.unplug()
		cancel()
		<-ended
		cc.EventBroadcaster.Shutdown()
	}}, nil
}

func run(ctx context.Context, cc *schedulerconfig.CompletedConfig, sched *scheduler.Scheduler) {
	cc.InformerFactory.Start(ctx.Done())
	cc.DynInformerFactory.Start(ctx.Done())
	cc.InformerFactory.WaitForCacheSync(ctx.Done())
	cc.DynInformerFactory.WaitForCacheSync(ctx.Done())
	if err := sched.WaitForHandlersSync(ctx); err != nil {
		return // ctx has ended
	}
	sched.Run(ctx)
}
