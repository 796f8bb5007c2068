package metrics

var (
	ofGuest     = []string{"node", "namespace", "name"}
	ofDisk      = []string{"node", "namespace", "name", "device"}
	ofInterface = []string{"node", "namespace", "name", "interface"}
)

// A host as its libvirt has it now, told by its executor.
var (
	LibvirtUp = entry(Metric{
		Name: "domus_libvirt_up", Type: Gauge, Labels: ofNode, Unit: "0 or 1", Series: "hosts", Page: Executor,
		Help: "1 when libvirt answered what it was asked for this page in time. Where it is 0 the host's other metrics from libvirt are missing.",
	})
	LibvirtDuration = entry(Metric{
		Name: "domus_libvirt_collect_duration_seconds", Type: Gauge, Labels: ofNode, Unit: "seconds", Series: "hosts", Page: Executor,
		Help: "How long libvirt took to answer.",
	})
	DomainEvents = entry(Metric{
		Name: "domus_host_domain_events_total", Type: Counter, Labels: []string{"node", "event"}, Unit: "events", Series: "hosts × 14", Page: Executor,
		Help: "Events of the host's domains, and of the connection to libvirt (Connected, Lost).",
	})
	HostCPUSeconds = entry(Metric{
		Name: "domus_host_cpu_seconds_total", Type: Counter, Labels: []string{"node", "mode"}, Unit: "seconds", Series: "hosts × 4", Page: Executor,
		Help: "Time that the host's CPUs spent in mode user, kernel, idle or iowait.",
	})
	CellTotalMemory = entry(Metric{
		Name: "domus_host_cell_memory_total_bytes", Type: Gauge, Labels: ofCell, Unit: "bytes", Series: "NUMA cells", Page: Executor,
		Help: "Memory of the NUMA cell, hugepage pools included.",
	})
	CellFreeMemory = entry(Metric{
		Name: "domus_host_cell_memory_free_bytes", Type: Gauge, Labels: ofCell, Unit: "bytes", Series: "NUMA cells", Page: Executor,
		Help: "Memory of the NUMA cell that nobody uses now. Free pages of hugepage pools are not in it.",
	})
	HugepagesTotal = entry(Metric{
		Name: "domus_host_hugepages", Type: Gauge, Labels: ofSizes, Unit: "pages", Series: "NUMA cells × 2", Page: Executor,
		Help: "Pages in the NUMA cell's pool of hugepages; there is no series for an empty pool.",
	})
	HugepagesFree = entry(Metric{
		Name: "domus_host_hugepages_free", Type: Gauge, Labels: ofSizes, Unit: "pages", Series: "NUMA cells × 2", Page: Executor,
		Help: "Pages in the pool that nobody uses now.",
	})
	PoolAvailable = entry(Metric{
		Name: "domus_host_pool_available_bytes", Type: Gauge, Labels: ofPool, Unit: "bytes", Series: "hosts × 64", Page: Executor,
		Help: "Space left in the host's active storage pool when libvirt last looked.",
	})
)

// Guests as libvirt's bulk statistics have them. A metric has no series for a
// guest whose QEMU hangs, of what only QEMU could tell, nor for what libvirt or
// the guest's balloon driver does not tell.
var (
	GuestState = entry(Metric{
		Name: "domus_vm_domain_state", Type: Gauge, Labels: []string{"node", "namespace", "name", "state"}, Unit: "1", Series: "domains", Page: Executor,
		Help: "1 for the state that libvirt has the VM's domain in: running, paused, shutting down, shut off, crashed or unknown.",
	})
	GuestStarts = entry(Metric{
		Name: "domus_vm_guest_starts_total", Type: Counter, Labels: ofGuest, Unit: "starts", Series: "domains", Page: Executor,
		Help: "Starts of the VM's guest since vm-executor was started.",
	})
	GuestVCPUs = entry(Metric{
		Name: "domus_vm_vcpus", Type: Gauge, Labels: ofGuest, Unit: "vCPUs", Series: "running VMs", Page: Executor,
		Help: "vCPUs that are plugged in.",
	})
	GuestCPU = entry(Metric{
		Name: "domus_vm_cpu_seconds_total", Type: Counter, Labels: ofGuest, Unit: "seconds", Series: "running VMs", Page: Executor,
		Help: "Time on host CPUs, QEMU's own included.",
	})
	GuestCPUUser = entry(Metric{
		Name: "domus_vm_cpu_user_seconds_total", Type: Counter, Labels: ofGuest, Unit: "seconds", Series: "running VMs", Page: Executor,
		Help: "The part of domus_vm_cpu_seconds_total in user mode.",
	})
	GuestCPUSystem = entry(Metric{
		Name: "domus_vm_cpu_system_seconds_total", Type: Counter, Labels: ofGuest, Unit: "seconds", Series: "running VMs", Page: Executor,
		Help: "The part of domus_vm_cpu_seconds_total in the host's kernel.",
	})
	GuestVCPU = entry(Metric{
		Name: "domus_vm_vcpu_seconds_total", Type: Counter, Labels: ofGuest, Unit: "seconds", Series: "running VMs", Page: Executor,
		Help: "Time that the guest's vCPUs ran, all together.",
	})
	GuestSteal = entry(Metric{
		Name: "domus_vm_vcpu_delay_seconds_total", Type: Counter, Labels: ofGuest, Unit: "seconds", Series: "running VMs", Page: Executor,
		Help: "Time that the guest's vCPUs wanted to run and waited for a host CPU, all together: what the guest sees as steal.",
	})
	GuestVCPUWait = entry(Metric{
		Name: "domus_vm_vcpu_wait_seconds_total", Type: Counter, Labels: ofGuest, Unit: "seconds", Series: "running VMs", Page: Executor,
		Help: "Time that the guest's vCPUs waited for input or output, all together. Needs a host kernel with CONFIG_SCHED_DEBUG.",
	})
	GuestMemoryMaximum = entry(Metric{
		Name: "domus_vm_memory_maximum_bytes", Type: Gauge, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "The most memory that the guest can have.",
	})
	GuestMemoryCurrent = entry(Metric{
		Name: "domus_vm_memory_current_bytes", Type: Gauge, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "Memory that the balloon leaves the guest.",
	})
	GuestMemoryResident = entry(Metric{
		Name: "domus_vm_memory_resident_bytes", Type: Gauge, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "Host memory that QEMU occupies, hugepages not included.",
	})
	GuestMemoryAvailable = entry(Metric{
		Name: "domus_vm_memory_available_bytes", Type: Gauge, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "Memory that the guest's kernel manages, by its balloon driver.",
	})
	GuestMemoryUnused = entry(Metric{
		Name: "domus_vm_memory_unused_bytes", Type: Gauge, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "Memory that the guest uses for nothing, caches not included.",
	})
	GuestMemoryUsable = entry(Metric{
		Name: "domus_vm_memory_usable_bytes", Type: Gauge, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "Memory that programs in the guest could have without it swapping.",
	})
	GuestSwapIn = entry(Metric{
		Name: "domus_vm_memory_swap_in_bytes_total", Type: Counter, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "Memory that the guest read back from its swap.",
	})
	GuestSwapOut = entry(Metric{
		Name: "domus_vm_memory_swap_out_bytes_total", Type: Counter, Labels: ofGuest, Unit: "bytes", Series: "running VMs", Page: Executor,
		Help: "Memory that the guest wrote to its swap.",
	})
	GuestMajorFaults = entry(Metric{
		Name: "domus_vm_memory_major_faults_total", Type: Counter, Labels: ofGuest, Unit: "faults", Series: "running VMs", Page: Executor,
		Help: "Page faults in the guest that read a disk.",
	})
	BlockReadBytes     = disk("read_bytes_total", "bytes", "Bytes read.")
	BlockReadRequests  = disk("read_requests_total", "requests", "Requests to read.")
	BlockReadSeconds   = disk("read_time_seconds_total", "seconds", "Time that requests to read took, all together.")
	BlockWriteBytes    = disk("write_bytes_total", "bytes", "Bytes written.")
	BlockWriteRequests = disk("write_requests_total", "requests", "Requests to write.")
	BlockWriteSeconds  = disk("write_time_seconds_total", "seconds", "Time that requests to write took, all together.")
	BlockFlushRequests = disk("flush_requests_total", "requests", "Requests to flush.")
	BlockFlushSeconds  = disk("flush_time_seconds_total", "seconds", "Time that requests to flush took, all together.")
	BlockCapacity      = disk("capacity_bytes", "bytes", "Size of the disk as the guest sees it.")
	BlockAllocation    = disk("allocation_bytes", "bytes", "Space that the disk takes on its host, as far as libvirt knows: up to the highest byte written.")
	NetReceiveBytes    = nic("receive_bytes_total", "bytes", "Bytes that the guest received.")
	NetReceivePackets  = nic("receive_packets_total", "packets", "Packets that the guest received.")
	NetReceiveErrors   = nic("receive_errors_total", "packets", "Packets to the guest that failed.")
	NetReceiveDrops    = nic("receive_drops_total", "packets", "Packets to the guest that were dropped.")
	NetTransmitBytes   = nic("transmit_bytes_total", "bytes", "Bytes that the guest sent.")
	NetTransmitPackets = nic("transmit_packets_total", "packets", "Packets that the guest sent.")
	NetTransmitErrors  = nic("transmit_errors_total", "packets", "Packets from the guest that failed.")
	NetTransmitDrops   = nic("transmit_drops_total", "packets", "Packets from the guest that were dropped.")
)

func disk(name, unit, help string) *Metric {
	return device("domus_vm_block_"+name, ofDisk, unit, "disks of running VMs", help+" device is the disk's name in its domain: vda.")
}

func nic(name, unit, help string) *Metric {
	return device("domus_vm_interface_"+name, ofInterface, unit, "interfaces of running VMs", help+" interface is the host's device: vnet0.")
}

func device(name string, labels []string, unit, series, help string) *Metric {
	kind := Gauge
	if len(name) > 6 && name[len(name)-6:] == "_total" {
		kind = Counter
	}
	return entry(Metric{Name: name, Type: kind, Labels: labels, Unit: unit, Series: series, Page: Executor, Help: help})
}
