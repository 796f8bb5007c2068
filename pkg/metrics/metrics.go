// Package metrics is the table of every metric that is Domus' own: its name,
// type, labels, unit, bound on series, and who serves it. Whatever is served is
// made from an entry of the table, docs/metrics.md is written from it, and
// dashboards and rules are held against it. kube-scheduler's own metrics come
// beside them on the same page.
package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Type is a metric's type in Prometheus.
type Type string

// Types that are used.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Page is where a metric is served.
type Page string

const (
	// Scheduler is /metrics of vm-scheduler, each replica about itself.
	Scheduler Page = "vm-scheduler"
	// Leader is the same page, while the replica leads: what it tells is about the
	// cluster, and two replicas would tell it twice.
	Leader Page = "vm-scheduler, leader"
	// Executor is /metrics of vm-executor, about its hosts.
	Executor Page = "vm-executor"
)

// Metric is one row of the table.
type Metric struct {
	Name string
	Type Type
	// Labels are in the order in which values are given.
	Labels []string
	// Unit is what a value counts, in a word.
	Unit string
	// Series bounds how many there are, in words: a product of what Domus or its
	// administrator limits.
	Series string
	Page   Page
	Help   string
	// Buckets are a histogram's upper bounds, without +Inf.
	Buckets []float64
	// counted says that it is counted as things happen.
	counted bool
}

// table holds what entry was called with. It is complete when the package's
// variables are set, and not changed afterwards.
var table []*Metric

// entry adds a row to the table.
func entry(m Metric) *Metric {
	table = append(table, &m)
	return &m
}

// Table lists all metrics, ordered by page and name.
func Table() []*Metric {
	pages := []Page{Scheduler, Leader, Executor}
	out := slices.Clone(table)
	slices.SortFunc(out, func(a, b *Metric) int {
		if d := slices.Index(pages, a.Page) - slices.Index(pages, b.Page); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// Desc describes the metric to a registry.
func (m *Metric) Desc() *prometheus.Desc {
	return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
}

func (m *Metric) counters() *prometheus.CounterVec {
	m.counted = true
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func (m *Metric) histograms() *prometheus.HistogramVec {
	m.counted = true
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets}, m.Labels)
}

func (m *Metric) gauge() prometheus.Gauge {
	m.counted = true
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: m.Name, Help: m.Help})
}

// Emitter sends values of metrics of the table to a registry that collects.
type Emitter struct {
	descs map[*Metric]*prometheus.Desc
}

// NewEmitter returns one for some metrics; others must not be sent by it.
func NewEmitter(all ...*Metric) *Emitter {
	e := &Emitter{descs: make(map[*Metric]*prometheus.Desc, len(all))}
	for _, m := range all {
		e.descs[m] = m.Desc()
	}
	return e
}

// Describe implements half of prometheus.Collector.
func (e *Emitter) Describe(to chan<- *prometheus.Desc) {
	for _, d := range e.descs {
		to <- d
	}
}

// Send sends one value. Label values are in the order of the table; what no
// metric can be made of is told to the registry as an error.
func (e *Emitter) Send(to chan<- prometheus.Metric, m *Metric, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if m.Type == Counter {
		kind = prometheus.CounterValue
	}
	sent, err := prometheus.NewConstMetric(e.descs[m], kind, value, labels...)
	if err != nil {
		sent = prometheus.NewInvalidMetric(m.Desc(), err)
	}
	to <- sent
}
