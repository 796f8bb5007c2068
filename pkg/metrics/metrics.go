// Package metrics has the name, help and labels of every metric that is
// Domus' own. kube-scheduler's come beside them on the same page.
package metrics

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// PlacedEventsDropped counts events that were not written because many VMs were
// placed at once. Their conditions say the same.
var PlacedEventsDropped = metrics.NewCounter(&metrics.CounterOpts{
	Name:           "domus_placed_events_dropped_total",
	Help:           "Events of VirtualMachines being placed that were not written because there were too many at once. The condition Scheduled says the same.",
	StabilityLevel: metrics.ALPHA,
})

var register sync.Once

// Register adds the metrics to the page that kube-scheduler serves. Calling it
// again changes nothing.
func Register() {
	register.Do(func() { legacyregistry.MustRegister(PlacedEventsDropped) })
}
