package dashboards

// fleet answers what is left, where, and of what use it is.
func fleet() board {
	memory := func(state string) string {
		return `sum(domus_host_` + state + `_memory_bytes{` + onHosts + `})`
	}
	cell := `by (cluster, node, cell) `
	return board{
		uid: "domus-fleet", title: "Domus / Fleet capacity",
		description: "What hosts have and VMs hold, by NUMA cell and page size; how large a VM still fits, and whether a host may fail.",
		variables:   []variable{hosts},
		rows: []row{
			{"Fleet", []panel{
				{title: "Hosts", kind: number, unit: plain, width: 4, queries: []query{{`count(domus_host_info{` + onHosts + `})`, ""}}},
				{title: "Hosts not ready", kind: number, unit: plain, width: 4, queries: []query{{`count(domus_host_ready{` + onHosts + `} == 0) or vector(0)`, ""}}},
				{title: "VMs on hosts", kind: number, unit: plain, width: 4, queries: []query{{`sum(domus_host_vms{` + onHosts + `})`, ""}}},
				{title: "VMs without room if their host failed", kind: number, unit: plain, width: 4, description: "0 is N+1.", queries: []query{{`max(domus_fleet_unprotected_vms{` + inCluster + `})`, ""}}},
				{title: "vCPUs held of allocatable", kind: number, unit: share, width: 4, queries: []query{
					{`sum(domus_host_requested_cpus{` + onHosts + `}) / sum(domus_host_allocatable_cpus{` + onHosts + `})`, ""}}},
				{title: "Memory held of allocatable", kind: number, unit: share, width: 4, queries: []query{{memory("requested") + " / " + memory("allocatable"), ""}}},
				{title: "vCPUs", kind: lines, unit: plain, queries: []query{
					{`sum(domus_host_capacity_cpus{` + onHosts + `})`, "physical CPUs"}, {`sum(domus_host_allocatable_cpus{` + onHosts + `})`, "allocatable"}, {`sum(domus_host_requested_cpus{` + onHosts + `})`, "held"}}},
				{title: "Memory", kind: lines, unit: bytes, queries: []query{
					{memory("capacity"), "physical"}, {memory("allocatable"), "allocatable"}, {memory("requested"), "held"}}},
			}},
			{"Hosts and NUMA cells", []panel{
				{title: "vCPUs held, by host", kind: squares, unit: share, width: 24, queries: []query{
					{`sum by (cluster, node) (domus_host_requested_cpus{` + onHosts + `}) / sum by (cluster, node) (domus_host_allocatable_cpus{` + onHosts + `})`, "{{node}}"}}},
				{title: "Memory bound, by host and NUMA cell", kind: squares, unit: share, width: 24, description: "All page sizes. What VMs hold without being bound to a cell is in no cell.", queries: []query{
					{`sum ` + cell + `(domus_host_cell_requested_memory_bytes{` + onHosts + `}) / sum ` + cell + `(domus_host_cell_memory_bytes{` + onHosts + `})`, "{{node}} cell {{cell}}"}}},
				{title: "Dedicated CPUs, by host and NUMA cell", kind: squares, unit: share, width: 24, queries: []query{
					{`sum ` + cell + `(domus_host_cell_dedicated_cpus{` + onHosts + `}) / sum ` + cell + `(domus_host_cell_cpus{` + onHosts + `})`, "{{node}} cell {{cell}}"}}},
				{title: "vCPUs bound and sharing, for each CPU of the cell that is not dedicated", kind: lines, unit: plain, queries: []query{
					{`sum ` + cell + `(domus_host_cell_shared_vcpus{` + onHosts + `}) / (sum ` + cell + `(domus_host_cell_cpus{` + onHosts + `} - domus_host_cell_dedicated_cpus{` + onHosts + `}) > 0)`, "{{node}} cell {{cell}}"}}},
				{title: "vCPUs held for each physical CPU", kind: lines, unit: plain, description: "Beside what the administrator allows.", queries: []query{
					{`domus_host_requested_cpus{` + onHosts + `} / domus_host_capacity_cpus{` + onHosts + `}`, "{{node}}"}, {`max(domus_host_cpu_overcommit_ratio{` + onHosts + `})`, "most that is allowed"}}},
				{title: "Memory free now, by host and NUMA cell", kind: lines, unit: bytes, queries: []query{
					{`domus_host_cell_memory_free_bytes{` + onHosts + `}`, "{{node}} cell {{cell}}"}}},
				{title: "CPU time of hosts, by mode", kind: areas, unit: plain, queries: []query{
					{rate("domus_host_cpu_seconds_total", onHosts, "mode"), "{{mode}}"}}},
			}},
			{"Hugepages", []panel{
				{title: "Held of each pool, by host", kind: squares, unit: share, width: 24, queries: []query{
					{`domus_host_requested_memory_bytes{` + onHosts + `,page_size!="4Ki"} / (domus_host_allocatable_memory_bytes{` + onHosts + `,page_size!="4Ki"} > 0)`, "{{node}} {{page_size}}"}}},
				{title: "Pages free now, of all", kind: lines, unit: plain, queries: []query{
					{`sum by (page_size) (domus_host_hugepages_free{` + onHosts + `})`, "{{page_size}} free"}, {`sum by (page_size) (domus_host_hugepages{` + onHosts + `})`, "{{page_size}} in all"}}},
				{title: "Pages free now, by NUMA cell", kind: rowsNow, unit: plain, queries: []query{
					{`sort(domus_host_hugepages_free{` + onHosts + `})`, ""}}},
			}},
			{"Room and headroom", []panel{
				{title: "Largest VM that fits, vCPUs with 4 GiB each", kind: lines, unit: plain, queries: []query{
					{`max by (shape) (domus_fleet_largest_vm_cpus{` + inCluster + `})`, "{{shape}}"}}},
				{title: "VMs of 4 vCPUs and 16 GiB that fit", kind: lines, unit: plain, queries: []query{
					{`max by (shape) (domus_fleet_placeable_vms{` + inCluster + `})`, "{{shape}}"}}},
				{title: "Fragmentation", kind: lines, unit: share, description: "The share of free vCPUs and of free ordinary memory on which no more VM of 4 vCPUs and 16 GiB fits.", queries: []query{
					{`1 - 4 * max(domus_fleet_placeable_vms{` + inCluster + `,shape="single-cell"}) / (sum(domus_host_allocatable_cpus{` + inCluster + `}) - sum(domus_host_requested_cpus{` + inCluster + `}) > 0)`, "vCPUs"},
					{`1 - 16 * 2^30 * max(domus_fleet_placeable_vms{` + inCluster + `,shape="single-cell"}) / (sum(domus_host_allocatable_memory_bytes{` + inCluster + `,page_size="4Ki"}) - sum(domus_host_requested_memory_bytes{` + inCluster + `,page_size="4Ki"}) > 0)`, "memory"}}},
				{title: "VMs and hosts without headroom", kind: lines, unit: plain, queries: []query{
					{`max(domus_fleet_unprotected_vms{` + inCluster + `})`, "VMs"}, {`max(domus_fleet_unprotected_hosts{` + inCluster + `})`, "hosts"}}},
			}},
			{"Storage and hosts", []panel{
				{title: "Storage pools: left", kind: lines, unit: bytes, queries: []query{
					{`domus_host_pool_available_bytes{` + onHosts + `}`, "{{node}} {{pool}}"}}},
				{title: "Storage pools: size and what disks may take", kind: lines, unit: bytes, queries: []query{
					{`domus_host_pool_capacity_bytes{` + onHosts + `}`, "{{node}} {{pool}} size"}, {`domus_host_pool_allocatable_bytes{` + onHosts + `}`, "{{node}} {{pool}} allocatable"}}},
				{title: "Hosts", kind: rowsNow, unit: plain, width: 24, queries: []query{{`domus_host_info{` + onHosts + `}`, ""}}},
				{title: "Hosts that take VMs", kind: squares, unit: plain, queries: []query{{`domus_host_ready{` + onHosts + `} * domus_host_schedulable{` + onHosts + `}`, "{{node}}"}}},
				{title: "Domains that need a person, and foreign ones", kind: lines, unit: plain, queries: []query{
					{`domus_host_quarantined_domains{` + onHosts + `}`, "{{node}} quarantined"}, {`domus_host_foreign_domains{` + onHosts + `}`, "{{node}} foreign"}}},
			}},
		},
	}
}
