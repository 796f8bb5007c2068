package metrics

// Other is a metric of a library, which stands on a page beside Domus' own and
// which a dashboard or a rule asks for.
type Other struct {
	Name string
	Type Type
	// From is whose it is, and Page where it is served; both in words.
	From, Page string
}

// Others lists them. Libraries have more on the same pages.
func Others() []Other {
	const (
		scheduler  = "kube-scheduler"
		runtime    = "controller-runtime"
		component  = "k8s.io/component-base or controller-runtime"
		onePage    = "vm-scheduler"
		bothPages  = "vm-scheduler, vm-executor"
		prometheus = "Prometheus itself"
	)
	return []Other{
		{"controller_runtime_reconcile_time_seconds", Histogram, runtime, onePage},
		{"controller_runtime_reconcile_total", Counter, runtime, onePage},
		{"controller_runtime_webhook_latency_seconds", Histogram, runtime, onePage},
		{"controller_runtime_webhook_requests_total", Counter, runtime, onePage},
		{"leader_election_master_status", Gauge, component, onePage},
		{"process_cpu_seconds_total", Counter, "client_golang", bothPages},
		{"process_resident_memory_bytes", Gauge, "client_golang", bothPages},
		{"rest_client_requests_total", Counter, component, bothPages},
		{"scheduler_cache_size", Gauge, scheduler, onePage},
		{"scheduler_framework_extension_point_duration_seconds", Histogram, scheduler, onePage},
		{"scheduler_pending_pods", Gauge, scheduler, onePage},
		{"scheduler_plugin_execution_duration_seconds", Histogram, scheduler, onePage},
		{"scheduler_preemption_attempts_total", Counter, scheduler, onePage},
		{"scheduler_queue_incoming_pods_total", Counter, scheduler, onePage},
		{"scheduler_schedule_attempts_total", Counter, scheduler, onePage},
		{"scheduler_scheduling_algorithm_duration_seconds", Histogram, scheduler, onePage},
		{"scheduler_scheduling_attempt_duration_seconds", Histogram, scheduler, onePage},
		{"up", Gauge, prometheus, "none: whether a page was read"},
		{"workqueue_depth", Gauge, component, bothPages},
		{"workqueue_queue_duration_seconds", Histogram, component, bothPages},
	}
}
