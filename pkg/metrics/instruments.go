package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Purposes, results and reasons of PlacementAttempts.
const (
	PurposePlace = "place"
	PurposeGrow  = "grow"

	ResultBound         = "bound"
	ResultUnschedulable = "unschedulable"
	ResultError         = "error"

	ReasonBound          = "Bound"
	ReasonNoRoom         = "NoRoom"
	ReasonNoHostEver     = "NoHostEver"
	ReasonNoHosts        = "NoHosts"
	ReasonGroup          = "Group"
	ReasonSchedulerError = "SchedulerError"
)

var (
	attempts         = PlacementAttempts.counters()
	hostRejections   = HostRejections.counters()
	bestScores       = PlacementScore.histograms()
	scoreMargins     = PlacementMargin.histograms()
	pluginScores     = PluginScore.histograms()
	boundTimes       = BoundDuration.histograms()
	runningTimes     = RunningDuration.histograms()
	startTimes       = StartDuration.histograms()
	executorRejected = ExecutorRejections.counters()
	guestStarts      = GuestStartsSeen.counters()
	eventsDropped    = PlacedEventsDropped.counters()
	writesDelayed    = WritesDelayed.counters()
	writesInFlight   = WritesInFlight.gauge()
)

// SchedulerCollectors collect all that vm-scheduler tells.
func SchedulerCollectors() []prometheus.Collector {
	return []prometheus.Collector{
		attempts, hostRejections, bestScores, scoreMargins, pluginScores, boundTimes, runningTimes, startTimes,
		executorRejected, guestStarts, eventsDropped, writesDelayed, writesInFlight, &asked,
	}
}

var register sync.Once

// Register adds SchedulerCollectors to the page that kube-scheduler serves.
// Calling it again changes nothing.
func Register() {
	register.Do(func() {
		for _, c := range SchedulerCollectors() {
			legacyregistry.RawMustRegister(c)
		}
		// So that there is a number before the first one.
		eventsDropped.WithLabelValues()
		writesDelayed.WithLabelValues()
	})
}

// Attempted counts an attempt to place a VM of the profile, or to let it grow.
func Attempted(profile, purpose, result, reason string) {
	attempts.WithLabelValues(profile, purpose, result, reason).Inc()
}

// HostsRejected counts hosts that a plugin turned down for a reason, which must
// be one of few.
func HostsRejected(profile, plugin, reason string, hosts int) {
	hostRejections.WithLabelValues(profile, plugin, reason).Add(float64(hosts))
}

// PlacedEventDropped counts an event that was not written.
func PlacedEventDropped() { eventsDropped.WithLabelValues().Inc() }

// WriteBegun counts a write that is sent, WriteEnded that it was answered, and
// WriteDelayed one that has to wait before it is sent.
func WriteBegun() { writesInFlight.Inc() }

// WriteEnded is the end of WriteBegun.
func WriteEnded() { writesInFlight.Dec() }

// WriteDelayed counts a write that has to wait.
func WriteDelayed() { writesDelayed.WithLabelValues().Inc() }

// Bound observes a VM's way to its host; Running and Started observe the rest of it, to
// a running guest.
func Bound(profile string, took time.Duration) {
	boundTimes.WithLabelValues(profile).Observe(took.Seconds())
}

// Running observes the whole way.
func Running(profile string, took time.Duration) {
	runningTimes.WithLabelValues(profile).Observe(took.Seconds())
}

// Started observes the way from the binding.
func Started(profile string, took time.Duration) {
	startTimes.WithLabelValues(profile).Observe(took.Seconds())
}

// ExecutorRejected counts a VM that a host refused.
func ExecutorRejected(node, reason string) { executorRejected.WithLabelValues(node, reason).Inc() }

// ForgetHost drops what is counted about a host that is no more.
func ForgetHost(node string) {
	executorRejected.DeletePartialMatch(prometheus.Labels{"node": node})
}

// GuestStarted counts a start that a host has reported.
func GuestStarted(profile string) { guestStarts.WithLabelValues(profile).Inc() }

// Scores observes how hosts are scored in a profile.
type Scores struct {
	best, margin prometheus.Observer
	plugins      map[string]prometheus.Observer
}

// ScoresOf returns the Scores of a profile with these score plugins: made once,
// so that observing does not allocate.
func ScoresOf(profile string, plugins []string) *Scores {
	s := &Scores{
		best: bestScores.WithLabelValues(profile), margin: scoreMargins.WithLabelValues(profile),
		plugins: make(map[string]prometheus.Observer, len(plugins)),
	}
	for _, plugin := range plugins {
		s.plugins[plugin] = pluginScores.WithLabelValues(profile, plugin)
	}
	return s
}

// Best observes the score of the best host, and by how much it was.
func (s *Scores) Best(score, margin float64) {
	s.best.Observe(score)
	s.margin.Observe(margin)
}

// Plugin observes what one plugin gave the best host.
func (s *Scores) Plugin(name string, score float64) {
	if o, known := s.plugins[name]; known {
		o.Observe(score)
	}
}
