package explain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	goruntime "runtime"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkplugins "k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/plugins"
	"domus.dev/domus/pkg/plugins/disklocality"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/networkreach"
	"domus.dev/domus/pkg/podless"
)

// metricsPrefix is before a profile's name where plugins are measured: what an
// explanation takes does not count among what scheduling takes.
const metricsPrefix = "explain/"

// newProfiles makes the frameworks of all profiles anew, by spec.schedulerName.
// They have the scheduler's informers, and share with its own frameworks what
// keeps no state of a cycle; they see the situation and count with a Reader.
// Plugins that keep plans, as HostHeadroom does, have their own, since their
// registry is.
func newProfiles(ctx context.Context, cc *schedulerconfig.CompletedConfig, sched *scheduler.Scheduler, s *situation, reader *fleet.Fleet, disks *disklocality.Disks, networks *networkreach.Networks) (map[string]framework.Framework, error) {
	registry := frameworkplugins.NewInTreeRegistry()
	if err := registry.Merge(plugins.Registry(refuser{}, reader, disks, networks)); err != nil {
		return nil, fmt.Errorf("listing plugins: %w", err)
	}
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "explain.invalid", Transport: refuser{}})
	if err != nil {
		return nil, fmt.Errorf("making a client that refuses: %w", err)
	}
	out := map[string]framework.Framework{}
	for _, configured := range cc.ComponentConfig.Profiles {
		running := sched.Profiles[configured.SchedulerName]
		if running == nil {
			return nil, fmt.Errorf("the scheduler has no profile %q", configured.SchedulerName)
		}
		named := configured
		named.SchedulerName = metricsPrefix + configured.SchedulerName
		made, err := profile.NewMap(ctx, append(cc.ComponentConfig.Profiles[:0:0], named), registry,
			func(string) events.EventRecorderLogger { return silent{} },
			frameworkruntime.WithComponentConfigVersion(cc.ComponentConfig.APIVersion),
			frameworkruntime.WithClientSet(client),
			frameworkruntime.WithInformerFactory(cc.InformerFactory),
			frameworkruntime.WithSharedDRAManager(running.SharedDRAManager()),
			frameworkruntime.WithSharedCSIManager(running.SharedCSIManager()),
			frameworkruntime.WithPodGroupManager(running.PodGroupManager()),
			frameworkruntime.WithSnapshotSharedLister(s),
			frameworkruntime.WithMutableSnapshotLister(s.base),
			// Half of the CPUs at most, so that scheduling goes on beside it.
			frameworkruntime.WithParallelism(max(goruntime.GOMAXPROCS(0)/2, 1)),
			frameworkruntime.WithPodNominator(sched.SchedulingQueue),
			frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()),
			frameworkruntime.WithPodsInPreBind(frameworkruntime.NewPodsInPreBindMap()),
		)
		if err != nil {
			return nil, fmt.Errorf("profile %q: %w", configured.SchedulerName, err)
		}
		out[configured.SchedulerName] = made[named.SchedulerName]
	}
	return out, nil
}

// errRefused is what any plugin gets that would act: none is asked to.
var errRefused = errors.New("an explanation reads and writes nothing in the API server")

// refuser refuses whatever would leave the process.
type refuser struct{}

// RoundTrip implements http.RoundTripper.
func (refuser) RoundTrip(*http.Request) (*http.Response, error) { return nil, errRefused }

// Bind implements vmbinder.Binder.
func (refuser) Bind(context.Context, podless.Identity, int64, string, *v1alpha1.Placement) error {
	return errRefused
}

// Grow implements vmbinder.Binder.
func (refuser) Grow(context.Context, podless.Identity, int64, string, capacity.Resources) error {
	return errRefused
}

// silent drops events.
type silent struct{}

// Eventf implements events.EventRecorder.
func (silent) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

// WithLogger implements events.EventRecorderLogger.
func (s silent) WithLogger(klog.Logger) events.EventRecorderLogger { return s }
