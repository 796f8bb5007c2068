package metrics

// durations are upper bounds from 10 ms to 5 min, each about 1.5 times the one
// before, so that a quantile is off by no more than that.
var durations = []float64{
	0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6, 1, 1.5, 2.5, 4, 6, 10, 15, 25, 40, 60, 90, 120, 180, 240, 300,
}

// scores are upper bounds of scores, which are from 0 to 100.
var scores = []float64{0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100}

// margins are upper bounds of how far a host is ahead: ties, which are common
// where hosts are alike, apart from near ones.
var margins = []float64{0, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100}

// What becomes of attempts to place VMs.
var (
	PlacementAttempts = entry(Metric{
		Name: "domus_placement_attempts_total", Type: Counter, Labels: []string{"profile", "purpose", "result", "reason"}, Unit: "attempts",
		Series: "profiles × 2 × 6", Page: Scheduler,
		Help: "Attempts to place a VM (purpose place) or to let one grow on its host (purpose grow). result is bound, unschedulable or error; reason is Bound, NoRoom, NoHostEver, NoHosts, Group or SchedulerError.",
	})
	HostRejections = entry(Metric{
		Name: "domus_placement_host_rejections_total", Type: Counter, Labels: []string{"profile", "plugin", "reason"}, Unit: "hosts",
		Series: "profiles × plugins × 20", Page: Scheduler,
		Help: "Hosts that turned a VM away in attempts that found none: one for each host and reason. reason is what is short or in the way: CPU, Memory, Hugepages2Mi, Hugepages1Gi, Device, Taint, Affinity and others that docs/metrics.md lists.",
	})
	PlacementScore = entry(Metric{
		Name: "domus_placement_score", Type: Histogram, Labels: []string{"profile"}, Unit: "points", Buckets: scores,
		Series: "profiles × 16", Page: Scheduler,
		Help: "Score of the host that was best, from 0 to 100: the mean of its plugins' scores by their weights. There is none where only one host would do.",
	})
	PlacementMargin = entry(Metric{
		Name: "domus_placement_score_margin", Type: Histogram, Labels: []string{"profile"}, Unit: "points", Buckets: margins,
		Series: "profiles × 13", Page: Scheduler,
		Help: "How many points the best host was ahead of the runner-up; 0 where several were best, of which one is chosen at random.",
	})
	PluginScore = entry(Metric{
		Name: "domus_placement_plugin_score", Type: Histogram, Labels: []string{"profile", "plugin"}, Unit: "points", Buckets: scores,
		Series: "profiles × score plugins × 16", Page: Scheduler,
		Help: "Score from 0 to 100 that each plugin gave the best host, before weights.",
	})
	BoundDuration = entry(Metric{
		Name: "domus_vm_bound_duration_seconds", Type: Histogram, Labels: []string{"profile"}, Unit: "seconds", Buckets: durations,
		Series: "profiles × 28", Page: Leader,
		Help: "Time from when the scheduler first saw that a VM wants a host until it saw the VM bound. The API's creation time counts whole seconds only and is taken for VMs that were there before this leader.",
	})
	RunningDuration = entry(Metric{
		Name: "domus_vm_running_duration_seconds", Type: Histogram, Labels: []string{"profile"}, Unit: "seconds", Buckets: durations,
		Series: "profiles × 28", Page: Leader,
		Help: "Time from when the scheduler first saw that a VM wants a host until its host said that the guest runs; counted as in domus_vm_bound_duration_seconds.",
	})
	StartDuration = entry(Metric{
		Name: "domus_vm_start_duration_seconds", Type: Histogram, Labels: []string{"profile"}, Unit: "seconds", Buckets: durations,
		Series: "profiles × 28", Page: Leader,
		Help: "Time from when the scheduler saw a VM bound until its host said that the guest runs.",
	})
	ExecutorRejections = entry(Metric{
		Name: "domus_host_rejections_total", Type: Counter, Labels: []string{"node", "reason"}, Unit: "VMs",
		Series: "hosts × 2", Page: Leader,
		Help: "VMs that were bound to a host and that its executor refused: reason HostUnfit where another host may do, InvalidDomain where none will.",
	})
	GuestStartsSeen = entry(Metric{
		Name: "domus_vm_guest_starts_seen_total", Type: Counter, Labels: []string{"profile"}, Unit: "starts",
		Series: "profiles", Page: Leader,
		Help: "Starts of guests that hosts have reported since this leader leads, the first and later ones alike.",
	})
	PlacedEventsDropped = entry(Metric{
		Name: "domus_placed_events_dropped_total", Type: Counter, Unit: "events", Series: "1", Page: Scheduler,
		Help: "Events of VirtualMachines being placed that were not written because there were too many at once. The condition Scheduled says the same.",
	})
	WritesInFlight = entry(Metric{
		Name: "domus_api_writes_in_flight", Type: Gauge, Unit: "requests", Series: "1", Page: Scheduler,
		Help: "Requests to the API server other than GET that are under way. There are 32 at most.",
	})
	WritesDelayed = entry(Metric{
		Name: "domus_api_writes_delayed_total", Type: Counter, Unit: "requests", Series: "1", Page: Scheduler,
		Help: "Requests to the API server other than GET that waited since as many as may be were under way.",
	})
)
