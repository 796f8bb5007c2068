package metrics

// hosts is a label set that several rows have.
var (
	ofNode  = []string{"node"}
	ofPages = []string{"node", "page_size"}
	ofCell  = []string{"node", "cell"}
	ofSizes = []string{"node", "cell", "page_size"}
	ofPool  = []string{"node", "pool"}
	ofShape = []string{"shape"}
)

// Hosts as vm-scheduler counts on them. page_size is 4Ki for ordinary memory,
// whatever the host's page is, and 2Mi or 1Gi for hugepages.
var (
	HostInfo = entry(Metric{
		Name: "domus_host_info", Type: Gauge, Labels: []string{"node", "mode", "domain_type", "libvirt", "hypervisor", "executor", "simulated"}, Unit: "1",
		Series: "hosts", Page: Leader, Help: "1 for each host, with what its Hypervisor says of it.",
	})
	HostReady = entry(Metric{
		Name: "domus_host_ready", Type: Gauge, Labels: ofNode, Unit: "0 or 1", Series: "hosts", Page: Leader,
		Help: "1 while the host's executor is heard and reaches libvirt, 0 otherwise.",
	})
	HostSchedulable = entry(Metric{
		Name: "domus_host_schedulable", Type: Gauge, Labels: ofNode, Unit: "0 or 1", Series: "hosts", Page: Leader,
		Help: "0 while the host's Node is cordoned, or the scheduler has no account of the host.",
	})
	HostCapacityCPUs = entry(Metric{
		Name: "domus_host_capacity_cpus", Type: Gauge, Labels: ofNode, Unit: "CPUs", Series: "hosts", Page: Leader,
		Help: "Physical CPUs of the host, or its share of them in mode Partitioned.",
	})
	HostCapacityMemory = entry(Metric{
		Name: "domus_host_capacity_memory_bytes", Type: Gauge, Labels: ofPages, Unit: "bytes", Series: "hosts × 3", Page: Leader,
		Help: "Physical memory of the host by page size.",
	})
	HostAllocatableCPUs = entry(Metric{
		Name: "domus_host_allocatable_cpus", Type: Gauge, Labels: ofNode, Unit: "vCPUs", Series: "hosts", Page: Leader,
		Help: "vCPUs that VMs may be granted on the host in sum: after reserve, overcommit, and domains that are not Domus' own.",
	})
	HostAllocatableMemory = entry(Metric{
		Name: "domus_host_allocatable_memory_bytes", Type: Gauge, Labels: ofPages, Unit: "bytes", Series: "hosts × 3", Page: Leader,
		Help: "Memory that VMs may be granted on the host in sum.",
	})
	HostRequestedCPUs = entry(Metric{
		Name: "domus_host_requested_cpus", Type: Gauge, Labels: ofNode, Unit: "vCPUs", Series: "hosts", Page: Leader,
		Help: "vCPUs that VMs hold on the host, bound or about to be; a dedicated CPU counts as all that it would offer.",
	})
	HostRequestedMemory = entry(Metric{
		Name: "domus_host_requested_memory_bytes", Type: Gauge, Labels: ofPages, Unit: "bytes", Series: "hosts × 3", Page: Leader,
		Help: "Memory that VMs hold on the host, QEMU's own included.",
	})
	HostVMs = entry(Metric{
		Name: "domus_host_vms", Type: Gauge, Labels: ofNode, Unit: "VMs", Series: "hosts", Page: Leader,
		Help: "VMs that hold something on the host.",
	})
	HostOvercommit = entry(Metric{
		Name: "domus_host_cpu_overcommit_ratio", Type: Gauge, Labels: ofNode, Unit: "ratio", Series: "hosts", Page: Leader,
		Help: "vCPUs offered for each physical CPU that is not reserved.",
	})
	CellCPUs = entry(Metric{
		Name: "domus_host_cell_cpus", Type: Gauge, Labels: ofCell, Unit: "CPUs", Series: "NUMA cells", Page: Leader,
		Help: "Physical CPUs of the NUMA cell that VMs may have.",
	})
	CellSharedCPUs = entry(Metric{
		Name: "domus_host_cell_shared_vcpus", Type: Gauge, Labels: ofCell, Unit: "vCPUs", Series: "NUMA cells", Page: Leader,
		Help: "vCPUs bound to the NUMA cell that share its CPUs.",
	})
	CellDedicatedCPUs = entry(Metric{
		Name: "domus_host_cell_dedicated_cpus", Type: Gauge, Labels: ofCell, Unit: "CPUs", Series: "NUMA cells", Page: Leader,
		Help: "Physical CPUs of the NUMA cell that one VM has for itself, kept idle ones included.",
	})
	CellMemory = entry(Metric{
		Name: "domus_host_cell_memory_bytes", Type: Gauge, Labels: ofSizes, Unit: "bytes", Series: "NUMA cells × 3", Page: Leader,
		Help: "Memory of the NUMA cell that VMs may have, by page size.",
	})
	CellRequestedMemory = entry(Metric{
		Name: "domus_host_cell_requested_memory_bytes", Type: Gauge, Labels: ofSizes, Unit: "bytes", Series: "NUMA cells × 3", Page: Leader,
		Help: "Memory bound to the NUMA cell by VMs. What VMs hold without being bound to a cell is in domus_host_requested_memory_bytes alone.",
	})
	PoolCapacity = entry(Metric{
		Name: "domus_host_pool_capacity_bytes", Type: Gauge, Labels: ofPool, Unit: "bytes", Series: "hosts × 64", Page: Leader,
		Help: "Size of the host's active storage pool, as the host reports it.",
	})
	PoolAllocatable = entry(Metric{
		Name: "domus_host_pool_allocatable_bytes", Type: Gauge, Labels: ofPool, Unit: "bytes", Series: "hosts × 64", Page: Leader,
		Help: "What VirtualDisks may take of the pool together, those that are there included.",
	})
	HostForeign = entry(Metric{
		Name: "domus_host_foreign_domains", Type: Gauge, Labels: ofNode, Unit: "domains", Series: "hosts", Page: Leader,
		Help: "libvirt domains on the host that Domus does not own.",
	})
	HostQuarantined = entry(Metric{
		Name: "domus_host_quarantined_domains", Type: Gauge, Labels: ofNode, Unit: "domains", Series: "hosts", Page: Leader,
		Help: "Domains that carry Domus' mark and whose VM is not there: left running for a person to decide. 64 at most are told.",
	})
)

// The fleet as a whole.
var (
	LargestVM = entry(Metric{
		Name: "domus_fleet_largest_vm_cpus", Type: Gauge, Labels: ofShape, Unit: "vCPUs", Series: "5", Page: Leader,
		Help: "vCPUs of the largest VM that fits on some host now, with 4 GiB of memory each, by shape: shared, single-cell, dedicated (single-cell with CPUs of its own), hugepages-2Mi and hugepages-1Gi (single-cell). 0 where not one vCPU fits.",
	})
	PlaceableVMs = entry(Metric{
		Name: "domus_fleet_placeable_vms", Type: Gauge, Labels: ofShape, Unit: "VMs", Series: "5", Page: Leader,
		Help: "VMs of 4 vCPUs and 16 GiB that fit beside what is there, on all hosts together, by shape.",
	})
	UnprotectedVMs = entry(Metric{
		Name: "domus_fleet_unprotected_vms", Type: Gauge, Unit: "VMs", Series: "1", Page: Leader,
		Help: "VMs for which there would be no room on other hosts if theirs failed, as HostHeadroom plans it for the failure of one host at a time. 0 is N+1.",
	})
	UnprotectedHosts = entry(Metric{
		Name: "domus_fleet_unprotected_hosts", Type: Gauge, Unit: "hosts", Series: "1", Page: Leader,
		Help: "Hosts that have such a VM.",
	})
	SurveyDuration = entry(Metric{
		Name: "domus_fleet_survey_duration_seconds", Type: Gauge, Unit: "seconds", Series: "1", Page: Leader,
		Help: "How long the look at all hosts took from which the metrics of hosts and fleet are. It is repeated when somebody asks and the last is older than 10 s.",
	})
)

// VMs as the API server has them.
var (
	ofVM   = []string{"namespace", "name"}
	VMInfo = entry(Metric{
		Name: "domus_vm_info", Type: Gauge, Labels: []string{"namespace", "name", "uid", "node", "profile", "class"}, Unit: "1", Series: "VMs", Page: Leader,
		Help: "1 for each VM. node is empty while it has no host, and class where it has none.",
	})
	VMPhase = entry(Metric{
		Name: "domus_vm_status_phase", Type: Gauge, Labels: []string{"namespace", "name", "phase"}, Unit: "1", Series: "VMs", Page: Leader,
		Help: "1 for the phase that each VM is in; there is no series for the others.",
	})
	VMCreated = entry(Metric{
		Name: "domus_vm_created_timestamp_seconds", Type: Gauge, Labels: ofVM, Unit: "seconds since 1970", Series: "VMs", Page: Leader,
		Help: "When the VM was created.",
	})
	VMPendingSince = entry(Metric{
		Name: "domus_vm_pending_since_timestamp_seconds", Type: Gauge, Labels: ofVM, Unit: "seconds since 1970", Series: "VMs", Page: Leader,
		Help: "Since when a VM that wants a host has none; there is no series for others.",
	})
	VMRequestedCPUs = entry(Metric{
		Name: "domus_vm_requested_cpus", Type: Gauge, Labels: ofVM, Unit: "vCPUs", Series: "VMs", Page: Leader,
		Help: "vCPUs that the VM was granted, or asks for while it has no host.",
	})
	VMRequestedMemory = entry(Metric{
		Name: "domus_vm_requested_memory_bytes", Type: Gauge, Labels: ofVM, Unit: "bytes", Series: "VMs", Page: Leader,
		Help: "Guest memory that the VM was granted, or asks for while it has no host.",
	})
)
