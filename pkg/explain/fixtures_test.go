package explain

import (
	"context"
	"fmt"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	configscheme "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	internalqueue "k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/ptr"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/plugins"
	"domus.dev/domus/pkg/plugins/disklocality"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/networkreach"
	"domus.dev/domus/pkg/plugins/waiting"
	"domus.dev/domus/pkg/podless"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// world is a scheduler that never runs, as it is shipped, with hosts and VMs in
// its cache.
type world struct {
	testing.TB
	sched     *scheduler.Scheduler
	fleet     *fleet.Fleet
	explainer *Explainer
}

// noEvents is an informer of which nothing is heard.
type noEvents struct{}

func (noEvents) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return noEvents{}, nil
}
func (noEvents) HasSynced() bool                     { return true }
func (noEvents) HasSyncedChecker() cache.DoneChecker { return noEvents{} }
func (noEvents) Name() string                        { return "no events" }
func (noEvents) Done() <-chan struct{}               { c := make(chan struct{}); close(c); return c }

// newWorld has urgent and never, of priority 1000, as classes.
func newWorld(tb testing.TB, changes ...func(*config.KubeSchedulerProfile)) *world {
	tb.Helper()
	obj, gvk, err := configscheme.Codecs.UniversalDecoder().Decode(manifests.SchedulerConfig, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := obj.(*config.KubeSchedulerConfiguration)
	cfg.APIVersion = gvk.GroupVersion().String()
	cfg.Parallelism = 2
	for _, change := range changes {
		change(&cfg.Profiles[0])
	}
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	tb.Cleanup(cancel)
	hosts, client := fleet.New(noEvents{}), fake.NewClientset()
	disks, networks := disklocality.New(noEvents{}, nil, nil), networkreach.New(noEvents{})
	cc, sched, err := podless.SetupOn(ctx, &schedulerconfig.Config{
		ComponentConfig:    *cfg,
		DynInformerFactory: networks.Factory(disks.Factory(hosts.Factory(dynamicinformer.NewDynamicSharedInformerFactory(dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()), 0)))),
		EventBroadcaster:   events.NewEventBroadcasterAdapterWithContext(ctx, client),
	}, client, podless.Parts{VMs: noEvents{}, Plugins: plugins.Registry(refuser{}, hosts, disks, networks), Growth: plugins.Growth(), Reasons: waiting.New(hosts), PlacedEvents: flowcontrol.NewFakeAlwaysRateLimiter()})
	if err != nil {
		tb.Fatal(err)
	}
	classes := cc.InformerFactory.Scheduling().V1().PriorityClasses().Informer().GetIndexer()
	for name, policy := range map[string]corev1.PreemptionPolicy{"urgent": corev1.PreemptLowerPriority, "never": corev1.PreemptNever} {
		if err := classes.Add(&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: 1000, PreemptionPolicy: &policy}); err != nil {
			tb.Fatal(err)
		}
	}
	namespaces := cc.InformerFactory.Core().V1().Namespaces().Informer().GetIndexer()
	if err := namespaces.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}); err != nil {
		tb.Fatal(err)
	}
	explainer, err := New(ctx, cc, sched, hosts, disks, networks)
	if err != nil {
		tb.Fatal(err)
	}
	return &world{TB: tb, sched: sched, fleet: hosts, explainer: explainer}
}

// host has 2 cells of 8 CPUs and 16 GiB each, of which 4 GiB in 1Gi hugepages.
func (w *world) host(name string, changes ...func(*corev1.Node)) {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for id, cpus := range []string{"0-7", "8-15"} {
		hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{
			ID: int32(id), CPUs: cpus, Memory: 16 * gib, Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize1Gi, Total: 4}},
		})
	}
	hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: 16, Memory: 24 * gib, Hugepages1Gi: 8 * gib}
	w.fleet.See(hv)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	node.Status.Allocatable = capacity.FromHost(hv.Status.Allocatable).List()
	for _, change := range changes {
		change(node)
	}
	w.sched.Cache.AddNode(klog.Logger{}, node)
}

func zone(name string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = name }
}

func tainted(key string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Value: "yes", Effect: corev1.TaintEffectNoSchedule})
	}
}

func cordoned(n *corev1.Node) { n.Spec.Unschedulable = true }

// noExecutor makes the Node one that runs no executor.
func noExecutor(n *corev1.Node) { n.Status.Allocatable = nil }

// vm has no overhead.
func vm(name string, cpu int32, memory int64, changes ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	out := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "a"}}}
	out.Spec.Resources = v1alpha1.VirtualMachineResources{
		CPU: cpu, Memory: *resource.NewQuantity(memory, resource.BinarySI), Overhead: resource.NewQuantity(0, resource.BinarySI),
	}
	for _, change := range changes {
		change(out)
	}
	return out
}

// place puts the VM on a host as it would be bound there.
func (w *world) place(v *v1alpha1.VirtualMachine, host string) {
	w.Helper()
	v.Status.Placement = &v1alpha1.Placement{NodeName: host, Granted: podless.Desired(v)}
	priority, _ := w.explainer.priorities.Resolve(v.Spec.PriorityClassName)
	if err := w.sched.Cache.AddPod(klog.Logger{}, podless.Project(v, priority)); err != nil {
		w.Fatal(err)
	}
}

// nominate has room being made for the VM.
func (w *world) nominate(v *v1alpha1.VirtualMachine, host string) {
	w.Helper()
	priority, _ := w.explainer.priorities.Resolve(v.Spec.PriorityClassName)
	info, err := framework.NewPodInfo(podless.Project(v, priority))
	if err != nil {
		w.Fatal(err)
	}
	// The queue would ask the informer, which is empty, whether there is such a VM.
	w.explainer.nominator = nominated{SchedulingQueue: w.sched.SchedulingQueue, host: host, vm: info}
	for _, profile := range w.explainer.profiles {
		profile.SetPodNominator(w.explainer.nominator)
	}
}

// nominated has one VM for which room is being made.
type nominated struct {
	internalqueue.SchedulingQueue
	host string
	vm   fwk.PodInfo
}

func (n nominated) NominatedPodsForNode(host string) []fwk.PodInfo {
	if host != n.host {
		return nil
	}
	return []fwk.PodInfo{n.vm}
}

func (w *world) ask(v *v1alpha1.VirtualMachine, question v1alpha1.PlacementQuestion) *v1alpha1.PlacementReviewStatus {
	w.Helper()
	answer, err := w.explainer.Review(context.Background(), v, &v1alpha1.PlacementReviewSpec{Question: question, Limit: ptr.To[int32](3)})
	if err != nil {
		w.Fatal(err)
	}
	return answer
}

func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	os.Exit(m.Run())
}

// fill has n hosts in 10 zones with 12 VMs each on all.
func (w *world) fill(n int) {
	for i := range n {
		name := fmt.Sprintf("host-%04d", i)
		w.host(name, zone(fmt.Sprint(i%10)))
		for k := range 12 {
			w.place(vm(fmt.Sprintf("vm-%d-on-%s", k, name), 1, gib), name)
		}
	}
}
