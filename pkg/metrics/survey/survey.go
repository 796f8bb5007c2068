// Package survey tells metrics of hosts and of the fleet as the scheduler counts
// on them: from a snapshot of its own, and off the scheduling cycle.
package survey

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/hostheadroom"
)

// validFor is how long one look serves all who ask: a look at thousands of hosts
// takes CPU that the scheduler wants too.
const validFor = 10 * time.Second

// Options is what a Survey looks at.
type Options struct {
	// Cache is the scheduler's.
	Cache internalcache.Cache
	// Fleet is a Reader, which nobody else uses.
	Fleet *fleet.Fleet
	// Leads says whether this replica does; nothing is told otherwise.
	Leads func() bool
	Clock clock.PassiveClock
}

// Survey is a prometheus.Collector.
type Survey struct {
	Options
	emit *metrics.Emitter

	mu       sync.Mutex
	snapshot *internalcache.Snapshot
	headroom *hostheadroom.Survey
	shapes   []*shape
	looked   time.Time
	samples  []sample
}

// sample is one value of a metric.
type sample struct {
	metric *metrics.Metric
	value  float64
	labels []string
}

// Metrics lists what a Survey tells.
func Metrics() []*metrics.Metric {
	return []*metrics.Metric{
		metrics.HostInfo, metrics.HostReady, metrics.HostSchedulable, metrics.HostCapacityCPUs, metrics.HostCapacityMemory,
		metrics.HostAllocatableCPUs, metrics.HostAllocatableMemory, metrics.HostRequestedCPUs, metrics.HostRequestedMemory,
		metrics.HostVMs, metrics.HostOvercommit, metrics.CellCPUs, metrics.CellSharedCPUs, metrics.CellDedicatedCPUs,
		metrics.CellMemory, metrics.CellRequestedMemory, metrics.PoolCapacity, metrics.PoolAllocatable, metrics.HostForeign,
		metrics.HostQuarantined, metrics.LargestVM, metrics.PlaceableVMs, metrics.UnprotectedVMs, metrics.UnprotectedHosts,
		metrics.SurveyDuration,
	}
}

// New returns a Survey.
func New(o Options) *Survey {
	return &Survey{
		Options: o, emit: metrics.NewEmitter(Metrics()...), snapshot: internalcache.NewEmptySnapshot(),
		headroom: hostheadroom.NewSurvey(), shapes: newShapes(),
	}
}

// Describe implements prometheus.Collector.
func (s *Survey) Describe(to chan<- *prometheus.Desc) { s.emit.Describe(to) }

// Collect implements prometheus.Collector. Until all hosts have been read there is
// nothing to tell.
func (s *Survey) Collect(to chan<- prometheus.Metric) {
	if !s.Leads() || !s.Fleet.Synced() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.Clock.Now(); s.looked.IsZero() || now.Sub(s.looked) >= validFor {
		if err := s.Cache.UpdateSnapshot(klog.Background(), s.snapshot); err != nil {
			to <- prometheus.NewInvalidMetric(metrics.SurveyDuration.Desc(), err)
			return
		}
		// A list in memory is always there.
		nodes, _ := s.snapshot.NodeInfos().List()
		s.samples = s.look(nodes)
		s.looked = s.Clock.Now()
		s.tell(metrics.SurveyDuration, s.looked.Sub(now).Seconds())
	}
	for i := range s.samples {
		s.emit.Send(to, s.samples[i].metric, s.samples[i].value, s.samples[i].labels...)
	}
}

func (s *Survey) tell(m *metrics.Metric, value float64, labels ...string) {
	s.samples = append(s.samples, sample{m, value, labels})
}

// look counts all hosts.
func (s *Survey) look(nodes []fwk.NodeInfo) []sample {
	s.samples = make([]sample, 0, len(s.samples))
	var hosts []host
	for _, node := range nodes {
		hv := s.Fleet.Hypervisor(node.Node().Name)
		if hv == nil {
			continue // a Node for pods
		}
		h := host{node: node, hypervisor: hv}
		h.usage, h.counted = s.Fleet.Usage(nil, node)
		hosts = append(hosts, h)
		s.host(&h)
	}
	vms, unprotected := s.headroom.Look(nodes, s.usage)
	s.tell(metrics.UnprotectedVMs, float64(vms))
	s.tell(metrics.UnprotectedHosts, float64(unprotected))
	for _, shape := range s.shapes {
		largest, placeable := shape.look(hosts)
		s.tell(metrics.LargestVM, float64(largest), shape.name)
		s.tell(metrics.PlaceableVMs, float64(placeable), shape.name)
	}
	return s.samples
}

// Forget drops what is counted of hosts when they are gone.
func Forget(f *fleet.Fleet) {
	f.OnDescribed(func(name string) {
		if f.Hypervisor(name) == nil {
			metrics.ForgetHost(name)
		}
	})
}
