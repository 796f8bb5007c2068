package executor

import (
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"domus.dev/domus/pkg/executor/statistics"
	"domus.dev/domus/pkg/libvirt"
)

// GuestOf implements statistics.Known.
func (a *Agent) GuestOf(uuid string) (namespace, name string, ok bool) {
	a.mu.Lock()
	ready := a.ready
	a.mu.Unlock()
	if !ready {
		return "", "", false // the cluster may not be known yet
	}
	owner, ok := a.registry.owner(a.clusterID, uuid)
	return owner.Namespace, owner.Name, ok
}

// Cells implements statistics.Known.
func (a *Agent) Cells() []libvirt.Cell {
	d, _ := a.registry.described()
	return slices.Clone(d.Cells)
}

// statisticsOf makes the collector of a host.
func statisticsOf(node string, host libvirt.Host, a *Agent) *statistics.Collector {
	return statistics.New(node, host, a, clock.RealClock{})
}

// several are collectors of the same metrics, of hosts that share a process.
type several []*hostRun

// Describe implements prometheus.Collector.
func (s several) Describe(to chan<- *prometheus.Desc) {
	if len(s) > 0 {
		s[0].statistics.Describe(to)
	}
}

// Collect implements prometheus.Collector: a libvirt that does not answer keeps
// the others' waiting for no longer than its own patience.
func (s several) Collect(to chan<- prometheus.Metric) {
	done := make(chan struct{})
	for _, h := range s {
		go func() {
			defer func() { done <- struct{}{} }()
			h.statistics.Collect(to)
		}()
	}
	for range s {
		<-done
	}
}

// collect has the page tell of the hosts until stop is called.
func collect(hosts []*hostRun) (stop func(), err error) {
	c := several(hosts)
	if err := metrics.Registry.Register(c); err != nil {
		return nil, errors.Join(errors.New("another vm-executor runs in this process"), err)
	}
	return func() { metrics.Registry.Unregister(c) }, nil
}
