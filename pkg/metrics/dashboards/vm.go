package dashboards

// vm is about one VM.
func vm() board {
	return board{
		uid: "domus-vm", title: "Domus / VM",
		description: "One VM: where it is, and what its guest does with CPU, memory, disks and network.",
		variables:   []variable{namespaces, names},
		rows: []row{
			{"VM", []panel{
				{title: "VM", kind: rowsNow, unit: plain, width: 12, queries: []query{{`domus_vm_info{` + oneVM + `}`, ""}}},
				{title: "Phase", kind: rowsNow, unit: plain, width: 6, queries: []query{{`domus_vm_status_phase{` + oneVM + `}`, ""}}},
				{title: "Starts of the guest in a day", kind: number, unit: plain, width: 6, queries: []query{
					{`sum(increase(domus_vm_guest_starts_total{` + oneVM + `}[1d]))`, ""}}},
				{title: "Domain", kind: lines, unit: plain, width: 24, queries: []query{{`domus_vm_domain_state{` + oneVM + `}`, "{{state}} on {{node}}"}}},
			}},
			{"CPU", []panel{
				{title: "CPU", kind: lines, unit: plain, queries: []query{
					{rate("domus_vm_cpu_seconds_total", oneVM, ""), "host CPUs used, QEMU's own included"},
					{rate("domus_vm_vcpu_seconds_total", oneVM, ""), "vCPUs that ran"},
					{`max(domus_vm_vcpus{` + oneVM + `})`, "vCPUs"}}},
				{title: "Steal", kind: lines, unit: share, description: "The share of its time that a vCPU wanted to run and waited for a host CPU.", queries: []query{
					{rate("domus_vm_vcpu_delay_seconds_total", oneVM, "") + ` / max(domus_vm_vcpus{` + oneVM + `})`, "waits for a host CPU"},
					{rate("domus_vm_vcpu_wait_seconds_total", oneVM, "") + ` / max(domus_vm_vcpus{` + oneVM + `})`, "waits for input or output"}}},
				{title: "Modes", kind: areas, unit: plain, width: 24, queries: []query{
					{rate("domus_vm_cpu_user_seconds_total", oneVM, ""), "user"}, {rate("domus_vm_cpu_system_seconds_total", oneVM, ""), "system"}}},
			}},
			{"Memory", []panel{
				{title: "Memory", kind: lines, unit: bytes, queries: []query{
					{`max(domus_vm_memory_maximum_bytes{` + oneVM + `})`, "maximum"}, {`max(domus_vm_memory_current_bytes{` + oneVM + `})`, "left by the balloon"},
					{`max(domus_vm_memory_available_bytes{` + oneVM + `})`, "seen by the guest"}, {`max(domus_vm_memory_resident_bytes{` + oneVM + `})`, "resident on the host"}}},
				{title: "Memory in the guest", kind: lines, unit: bytes, queries: []query{
					{`max(domus_vm_memory_available_bytes{` + oneVM + `} - domus_vm_memory_usable_bytes{` + oneVM + `})`, "in use"},
					{`max(domus_vm_memory_usable_bytes{` + oneVM + `})`, "usable"}, {`max(domus_vm_memory_unused_bytes{` + oneVM + `})`, "unused"}}},
				{title: "Swap in the guest", kind: lines, unit: perBytes, queries: []query{
					{rate("domus_vm_memory_swap_in_bytes_total", oneVM, ""), "in"}, {rate("domus_vm_memory_swap_out_bytes_total", oneVM, ""), "out"}}},
				{title: "Major page faults in the guest", kind: lines, unit: perOps, queries: []query{{rate("domus_vm_memory_major_faults_total", oneVM, ""), "faults"}}},
			}},
			{"Disks", []panel{
				{title: "Bytes", kind: lines, unit: perBytes, queries: []query{
					{rate("domus_vm_block_read_bytes_total", oneVM, "device"), "{{device}} read"}, {rate("domus_vm_block_write_bytes_total", oneVM, "device"), "{{device}} written"}}},
				{title: "Requests", kind: lines, unit: perOps, queries: []query{
					{rate("domus_vm_block_read_requests_total", oneVM, "device"), "{{device}} read"}, {rate("domus_vm_block_write_requests_total", oneVM, "device"), "{{device}} write"},
					{rate("domus_vm_block_flush_requests_total", oneVM, "device"), "{{device}} flush"}}},
				{title: "Time of a request", kind: lines, unit: seconds, queries: []query{
					perRequest("read"), perRequest("write"), perRequest("flush")}},
				{title: "Size", kind: lines, unit: bytes, queries: []query{
					{`max by (device) (domus_vm_block_capacity_bytes{` + oneVM + `})`, "{{device}} size"}, {`max by (device) (domus_vm_block_allocation_bytes{` + oneVM + `})`, "{{device}} taken on the host"}}},
			}},
			{"Network", []panel{
				{title: "Bytes", kind: lines, unit: perBytes, queries: []query{
					{rate("domus_vm_interface_receive_bytes_total", oneVM, "interface"), "{{interface}} received"}, {rate("domus_vm_interface_transmit_bytes_total", oneVM, "interface"), "{{interface}} sent"}}},
				{title: "Packets", kind: lines, unit: perOps, queries: []query{
					{rate("domus_vm_interface_receive_packets_total", oneVM, "interface"), "{{interface}} received"}, {rate("domus_vm_interface_transmit_packets_total", oneVM, "interface"), "{{interface}} sent"}}},
				{title: "Errors and drops", kind: lines, unit: perOps, width: 24, queries: []query{
					{rate("domus_vm_interface_receive_errors_total", oneVM, "interface"), "{{interface}} receive errors"}, {rate("domus_vm_interface_receive_drops_total", oneVM, "interface"), "{{interface}} receive drops"},
					{rate("domus_vm_interface_transmit_errors_total", oneVM, "interface"), "{{interface}} send errors"}, {rate("domus_vm_interface_transmit_drops_total", oneVM, "interface"), "{{interface}} send drops"}}},
			}},
		},
	}
}

// perRequest is how long one request of the kind takes on average.
func perRequest(kind string) query {
	m := "domus_vm_block_" + kind
	return query{rate(m+"_time_seconds_total", oneVM, "device") + " / (" + rate(m+"_requests_total", oneVM, "device") + " > 0)", "{{device}} " + kind}
}
