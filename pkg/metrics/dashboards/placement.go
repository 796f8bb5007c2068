package dashboards

// placement answers why VMs wait, and how well and how fast they are placed.
func placement() board {
	return board{
		uid: "domus-placement", title: "Domus / Placement",
		description: "Why VMs wait, which hosts turn them away and for what, how long they take, and how hosts are scored.",
		variables:   []variable{profiles, namespaces},
		rows: []row{
			{"Waiting", []panel{
				{title: "VMs without a host", kind: number, unit: plain, width: 6, queries: []query{
					{`count(domus_vm_pending_since_timestamp_seconds{` + inCluster + `,namespace=~"$namespace"}) or vector(0)`, ""}}},
				{title: "Waiting longest", kind: number, unit: seconds, width: 6, queries: []query{
					{`time() - min(domus_vm_pending_since_timestamp_seconds{` + inCluster + `,namespace=~"$namespace"})`, ""}}},
				{title: "Placed in 5 minutes", kind: number, unit: plain, width: 6, queries: []query{
					{`sum(increase(domus_placement_attempts_total{` + byProfile + `,purpose="place",result="bound"}[5m]))`, ""}}},
				{title: "Refused by hosts in an hour", kind: number, unit: plain, width: 6, queries: []query{
					{`sum(increase(domus_host_rejections_total{` + inCluster + `}[1h])) or vector(0)`, ""}}},
				{title: "VMs by phase", kind: areas, unit: plain, queries: []query{
					{`count by (phase) (domus_vm_status_phase{` + inCluster + `,namespace=~"$namespace"})`, "{{phase}}"}}},
				{title: "VMs in the scheduler's queues", kind: areas, unit: plain, description: "active is being placed now; backoff and unschedulable wait for time or for an event; gated is not to be placed yet.", queries: []query{
					{`sum by (queue) (scheduler_pending_pods{` + inCluster + `})`, "{{queue}}"}}},
				{title: "VMs that wait, longest first", kind: rowsNow, unit: seconds, width: 24, queries: []query{
					{`sort_desc(time() - domus_vm_pending_since_timestamp_seconds{` + inCluster + `,namespace=~"$namespace"})`, ""}}},
			}},
			{"Why", []panel{
				{title: "Attempts by result", kind: areas, unit: perOps, queries: []query{
					{rate("domus_placement_attempts_total", byProfile, "purpose, result, reason"), "{{purpose}} {{result}} {{reason}}"}}},
				{title: "Hosts that turned VMs away, by cause", kind: areas, unit: perOps, description: "One for each host and reason in each attempt that found none.", queries: []query{
					{rate("domus_placement_host_rejections_total", byProfile, "plugin, reason"), "{{reason}} ({{plugin}})"}}},
				{title: "Causes in the time range", kind: rowsNow, unit: plain, queries: []query{
					{`sort_desc(sum by (profile, plugin, reason) (increase(domus_placement_host_rejections_total{` + byProfile + `}[$__range])))`, ""}}},
				{title: "VMs refused by their hosts", kind: lines, unit: perOps, queries: []query{
					{rate("domus_host_rejections_total", inCluster, "node, reason"), "{{node}} {{reason}}"}}},
			}},
			{"How long", []panel{
				{title: "From wanting a host to bound", kind: lines, unit: seconds, queries: quantiles("domus_vm_bound_duration_seconds", byProfile)},
				{title: "From wanting a host to running", kind: lines, unit: seconds, queries: quantiles("domus_vm_running_duration_seconds", byProfile)},
				{title: "From bound to running", kind: buckets, unit: seconds, queries: []query{
					{`sum by (le) (increase(domus_vm_start_duration_seconds_bucket{` + byProfile + `}[$__rate_interval]))`, "{{le}}"}}},
				{title: "One attempt in the scheduler", kind: lines, unit: seconds, queries: quantiles("scheduler_scheduling_attempt_duration_seconds", byProfile)},
			}},
			{"How good", []panel{
				{title: "Score of the best host", kind: buckets, unit: plain, queries: []query{
					{`sum by (le) (increase(domus_placement_score_bucket{` + byProfile + `}[$__rate_interval]))`, "{{le}}"}}},
				{title: "Points ahead of the runner-up", kind: buckets, unit: plain, queries: []query{
					{`sum by (le) (increase(domus_placement_score_margin_bucket{` + byProfile + `}[$__rate_interval]))`, "{{le}}"}}},
				{title: "Mean score of the best host, by plugin", kind: lines, unit: plain, width: 24, queries: []query{
					{`sum by (plugin) (rate(domus_placement_plugin_score_sum{` + byProfile + `}[$__rate_interval])) / sum by (plugin) (rate(domus_placement_plugin_score_count{` + byProfile + `}[$__rate_interval]))`, "{{plugin}}"}}},
			}},
		},
	}
}
