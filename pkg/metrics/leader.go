package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// leaders collects what collectors of Leader metrics tell when they are asked. It
// is registered once, whoever leads.
type leaders struct {
	mu  sync.Mutex
	all []prometheus.Collector
}

var asked leaders

// Ask has the page ask c from now on: for metrics of page Leader that are not
// counted as things happen.
func Ask(c prometheus.Collector) {
	asked.mu.Lock()
	defer asked.mu.Unlock()
	asked.all = append(asked.all, c)
}

// Describe implements prometheus.Collector.
func (*leaders) Describe(to chan<- *prometheus.Desc) {
	for _, m := range Table() {
		if m.Page == Leader && !m.counted {
			to <- m.Desc()
		}
	}
}

// Collect implements prometheus.Collector.
func (l *leaders) Collect(to chan<- prometheus.Metric) {
	l.mu.Lock()
	all := append([]prometheus.Collector(nil), l.all...)
	l.mu.Unlock()
	for _, c := range all {
		c.Collect(to)
	}
}
