// Package ctrlruntime shows controller-runtime's metrics on the page that
// kube-scheduler serves: those of reconcilers, webhooks and their work queues.
package ctrlruntime

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/component-base/metrics/legacyregistry"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// taken are prefixes of the metrics that are shown. Those of the Go runtime and the
// process are on kube-scheduler's page already. Of API requests and leader election
// client-go tells one of the two libraries, whichever is initialized first, so that
// the other has nothing.
var taken = []string{"controller_runtime_", "workqueue_", "rest_client_", "leader_election_"}

// help is what k8s.io/component-base says of work queues: a page says one thing of
// a metric, and kube-scheduler's own queues are there too. A test holds it against
// that.
var help = map[string]string{
	"workqueue_depth":                  "[BETA] Current depth of workqueue",
	"workqueue_adds_total":             "[BETA] Total number of adds handled by workqueue",
	"workqueue_queue_duration_seconds": "[BETA] How long in seconds an item stays in workqueue before being requested.",
	"workqueue_work_duration_seconds":  "[BETA] How long in seconds processing an item from workqueue takes.",
	"workqueue_unfinished_work_seconds": "[BETA] How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values indicate stuck " +
		"threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
	"workqueue_longest_running_processor_seconds": "[BETA] How many seconds has the longest running processor for workqueue been running.",
	"workqueue_retries_total":                     "[BETA] Total number of retries handled by workqueue",
}

// Collector forwards what controller-runtime's registry has.
type Collector struct{ from prometheus.Gatherer }

var register sync.Once

// Register adds it to the page that kube-scheduler serves. Calling it again changes
// nothing.
func Register() { register.Do(func() { legacyregistry.RawMustRegister(New(metrics.Registry)) }) }

// New returns a Collector.
func New(from prometheus.Gatherer) *Collector { return &Collector{from: from} }

// Describe implements prometheus.Collector. What there will be is not known before.
func (*Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	families, err := c.from.Gather()
	if err != nil {
		to <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		return
	}
	for _, f := range families {
		if !shown(f.GetName()) {
			continue
		}
		text, known := help[f.GetName()]
		if !known {
			text = f.GetHelp()
		}
		for _, m := range f.GetMetric() {
			to <- newForwarded(f.GetName(), text, m)
		}
	}
}

func shown(name string) bool {
	for _, prefix := range taken {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// forwarded is a metric as another registry has gathered it.
type forwarded struct {
	desc *prometheus.Desc
	m    *dto.Metric
}

func newForwarded(name, help string, m *dto.Metric) *forwarded {
	labels := make([]string, len(m.GetLabel()))
	for i, l := range m.GetLabel() {
		labels[i] = l.GetName()
	}
	return &forwarded{desc: prometheus.NewDesc(name, help, labels, nil), m: m}
}

// Desc implements prometheus.Metric.
func (f *forwarded) Desc() *prometheus.Desc { return f.desc }

// Write implements prometheus.Metric.
func (f *forwarded) Write(to *dto.Metric) error {
	to.Label, to.Gauge, to.Counter, to.Summary, to.Untyped, to.Histogram = f.m.Label, f.m.Gauge, f.m.Counter, f.m.Summary, f.m.Untyped, f.m.Histogram
	return nil
}
