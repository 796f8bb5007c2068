package dashboards

// internals is about the programs themselves.
func internals() board {
	return board{
		uid: "domus-internals", title: "Domus / Scheduler internals",
		description: "vm-scheduler and vm-executor themselves: leader, cycles, plugins, work queues, writes, libvirt.",
		variables:   []variable{profiles, hosts},
		rows: []row{
			{"Leader", []panel{
				{title: "Leads", kind: lines, unit: plain, queries: []query{{`leader_election_master_status{` + inCluster + `,job="vm-scheduler"}`, "{{instance}}"}}},
				{title: "Programs that answer", kind: lines, unit: plain, queries: []query{{`up{` + inCluster + `,job=~"vm-scheduler|vm-executor"}`, "{{job}} {{instance}}"}}},
			}},
			{"Scheduling cycles", []panel{
				{title: "Attempts", kind: areas, unit: perOps, queries: []query{{rate("scheduler_schedule_attempts_total", byProfile, "profile, result"), "{{profile}} {{result}}"}}},
				{title: "Time in the algorithm", kind: lines, unit: seconds, queries: quantiles("scheduler_scheduling_algorithm_duration_seconds", inCluster)},
				{title: "Extension points, p99", kind: lines, unit: seconds, queries: []query{
					{`histogram_quantile(0.99, sum by (le, extension_point) (rate(scheduler_framework_extension_point_duration_seconds_bucket{` + byProfile + `}[$__rate_interval])))`, "{{extension_point}}"}}},
				{title: "Plugins, p99", kind: lines, unit: seconds, description: "Sampled by kube-scheduler: one attempt of ten.", queries: []query{
					{`histogram_quantile(0.99, sum by (le, plugin, extension_point) (rate(scheduler_plugin_execution_duration_seconds_bucket{` + inCluster + `}[$__rate_interval])))`, "{{plugin}} {{extension_point}}"}}},
				{title: "VMs that come into queues, by event", kind: areas, unit: perOps, queries: []query{{rate("scheduler_queue_incoming_pods_total", inCluster, "queue, event"), "{{queue}} {{event}}"}}},
				{title: "Preemption", kind: lines, unit: perOps, queries: []query{{rate("scheduler_preemption_attempts_total", inCluster, ""), "attempts"}}},
				{title: "In the scheduler's cache", kind: lines, unit: plain, queries: []query{{`sum by (type) (scheduler_cache_size{` + inCluster + `})`, "{{type}}"}}},
				{title: "Look at all hosts for metrics", kind: lines, unit: seconds, queries: []query{{`domus_fleet_survey_duration_seconds{` + inCluster + `}`, "{{instance}}"}}},
			}},
			{"Controllers", []panel{
				{title: "Reconciles", kind: areas, unit: perOps, queries: []query{{rate("controller_runtime_reconcile_total", inCluster, "controller, result"), "{{controller}} {{result}}"}}},
				{title: "Time of a reconcile, p99", kind: lines, unit: seconds, queries: []query{
					{`histogram_quantile(0.99, sum by (le, controller) (rate(controller_runtime_reconcile_time_seconds_bucket{` + inCluster + `}[$__rate_interval])))`, "{{controller}}"}}},
				{title: "Work queues: waiting", kind: lines, unit: plain, queries: []query{{`sum by (job, name) (workqueue_depth{` + inCluster + `})`, "{{job}} {{name}}"}}},
				{title: "Work queues: time in the queue, p99", kind: lines, unit: seconds, queries: []query{
					{`histogram_quantile(0.99, sum by (le, job, name) (rate(workqueue_queue_duration_seconds_bucket{` + inCluster + `}[$__rate_interval])))`, "{{job}} {{name}}"}}},
				{title: "Webhooks: requests", kind: lines, unit: perOps, queries: []query{{rate("controller_runtime_webhook_requests_total", inCluster, "webhook, code"), "{{webhook}} {{code}}"}}},
				{title: "Webhooks: p99", kind: lines, unit: seconds, queries: []query{
					{`histogram_quantile(0.99, sum by (le, webhook) (rate(controller_runtime_webhook_latency_seconds_bucket{` + inCluster + `}[$__rate_interval])))`, "{{webhook}}"}}},
			}},
			{"API server", []panel{
				{title: "Writes, by program", kind: areas, unit: perOps, queries: []query{{rate("rest_client_requests_total", inCluster+`,method=~"POST|PUT|PATCH|DELETE"`, "job, method, code"), "{{job}} {{method}} {{code}}"}}},
				{title: "Writes under way, and delayed", kind: lines, unit: plain, queries: []query{
					{`domus_api_writes_in_flight{` + inCluster + `}`, "under way on {{instance}}"}, {rate("domus_api_writes_delayed_total", inCluster, "instance"), "delayed a second on {{instance}}"}}},
				{title: "Events that were not written", kind: lines, unit: perOps, queries: []query{{rate("domus_placed_events_dropped_total", inCluster, ""), "dropped"}}},
				{title: "Starts of guests", kind: lines, unit: perOps, queries: []query{{rate("domus_vm_guest_starts_seen_total", byProfile, "profile"), "{{profile}}"}}},
			}},
			{"Executors", []panel{
				{title: "libvirt answers", kind: squares, unit: plain, queries: []query{{`domus_libvirt_up{` + onHosts + `}`, "{{node}}"}}},
				{title: "Time until libvirt has answered", kind: lines, unit: seconds, queries: []query{{`domus_libvirt_collect_duration_seconds{` + onHosts + `}`, "{{node}}"}}},
				{title: "Events of libvirt", kind: areas, unit: perOps, queries: []query{{rate("domus_host_domain_events_total", onHosts, "event"), "{{event}}"}}},
				{title: "CPU and memory of the programs", kind: lines, unit: plain, queries: []query{
					{`rate(process_cpu_seconds_total{` + inCluster + `,job=~"vm-scheduler|vm-executor"}[$__rate_interval])`, "CPUs of {{job}} {{instance}}"},
					{`process_resident_memory_bytes{` + inCluster + `,job=~"vm-scheduler|vm-executor"} / 2^30`, "GiB of {{job}} {{instance}}"}}},
			}},
		},
	}
}
