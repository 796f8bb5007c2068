package libvirt

import (
	"context"
	"errors"
	"time"

	lv "libvirt.org/go/libvirt"
)

// Metering is what guests and host have used and hold now.
type Metering interface {
	// Statistics asks for all domains at once, and waits for no guest: of one whose
	// QEMU hangs, or that something is being done to, there is what libvirt knows
	// by itself. It is asked over a connection of its own. Errors: ErrUnavailable,
	// ErrTimeout.
	Statistics(ctx context.Context) (HostStatistics, error)
}

// HostStatistics are those of a host and of its domains.
type HostStatistics struct {
	// CPU is what the host's CPUs did since it was booted, all together; nil where
	// libvirt does not tell.
	CPU *CPUTimes
	// Cells are the memories of the NUMA cells; none where libvirt does not tell.
	Cells   []CellStatistics
	Domains []DomainStatistics
}

// CPUTimes is time of CPUs.
type CPUTimes struct{ User, Kernel, Idle, IOWait time.Duration }

// CellStatistics is the memory of a NUMA cell in bytes, hugepage pools included in
// Total and not in Free.
type CellStatistics struct {
	Cell        int32
	Total, Free int64
}

// DomainStatistics are those of one domain. What is nil libvirt does not tell.
type DomainStatistics struct {
	UUID  string
	State State
	// CPU is time on host CPUs, QEMU's own included, and CPUUser and CPUSystem its
	// parts.
	CPU, CPUUser, CPUSystem *time.Duration
	// VCPUs counts those that are plugged in. VCPU is the time that they ran,
	// VCPUDelay that they waited for a host CPU, VCPUWait for input or output: all
	// together.
	VCPUs                     int
	VCPU, VCPUDelay, VCPUWait *time.Duration
	Memory                    MemoryStatistics
	Disks                     []DiskStatistics
	Interfaces                []InterfaceStatistics
}

// MemoryStatistics are in bytes, but for MajorFaults. All but Maximum, Current and
// Resident are the word of the guest's balloon driver.
type MemoryStatistics struct {
	Maximum, Current, Resident  *int64
	Available, Unused, Usable   *int64
	SwapIn, SwapOut, MajorFault *int64
}

// DiskStatistics are of one disk, by its name in the domain.
type DiskStatistics struct {
	Device                         string
	ReadBytes, ReadRequests        *int64
	WriteBytes, WriteRequests      *int64
	FlushRequests                  *int64
	ReadTime, WriteTime, FlushTime *time.Duration
	Allocation, Capacity           *int64
}

// InterfaceStatistics are of one interface, by its device on the host, as the guest
// sees them: received is what came to the guest.
type InterfaceStatistics struct {
	Device                                                        string
	ReceiveBytes, ReceivePackets, ReceiveErrors, ReceiveDrops     *int64
	TransmitBytes, TransmitPackets, TransmitErrors, TransmitDrops *int64
}

// everything is what is asked of domains.
const everything = lv.DOMAIN_STATS_STATE | lv.DOMAIN_STATS_CPU_TOTAL | lv.DOMAIN_STATS_BALLOON | lv.DOMAIN_STATS_VCPU |
	lv.DOMAIN_STATS_INTERFACE | lv.DOMAIN_STATS_BLOCK

// forStatistics is the connection that they are asked over: libvirtd serves few
// calls of a client at a time.
func (c *connection) forStatistics() *connection {
	if c.statistics != nil {
		return c.statistics
	}
	return c
}

// statisticsGlance is how long one call may take.
const statisticsGlance = time.Second

// Statistics implements Host. NOWAIT has libvirt pass over a guest that something
// else is being done to, and yet wait for one that hangs unnoticed: the calls that
// meet it first are given up, and asked again until one passes over it.
func (c *connection) Statistics(ctx context.Context) (HostStatistics, error) {
	for {
		glance, cancel := context.WithTimeout(ctx, statisticsGlance)
		out, err := c.readStatistics(glance)
		cancel()
		if !errors.Is(err, ErrTimeout) || ctx.Err() != nil {
			return out, err
		}
	}
}

func (c *connection) readStatistics(ctx context.Context) (HostStatistics, error) {
	return call(ctx, c.forStatistics(), "reading statistics", func(conn *lv.Connect) (HostStatistics, error) {
		var out HostStatistics
		records, err := conn.GetAllDomainStats(nil, everything, lv.CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
		if errors.Is(explain("", err), ErrUnsupported) {
			records, err = conn.GetAllDomainStats(nil, lv.DOMAIN_STATS_STATE, 0) // the test driver has no more
		}
		if err != nil {
			return out, err
		}
		for i := range records {
			uuid, err := records[i].Domain.GetUUIDString()
			_ = records[i].Domain.Free()
			if err == nil {
				out.Domains = append(out.Domains, domainStatistics(uuid, &records[i]))
			}
		}
		out.CPU, out.Cells = nodeStatistics(conn)
		return out, nil
	})
}

// Statistics implements Host. What the test driver tells of the node is made up.
func (s *simulated) Statistics(ctx context.Context) (HostStatistics, error) {
	out, err := s.connection.Statistics(ctx)
	out.CPU, out.Cells = nil, nil
	return out, err
}

// nodeStatistics are what libvirt tells of the host itself.
func nodeStatistics(conn *lv.Connect) (*CPUTimes, []CellStatistics) {
	var cpu *CPUTimes
	if s, err := conn.GetCPUStats(int(lv.NODE_CPU_STATS_ALL_CPUS), 0); err == nil && s.IdleSet {
		cpu = &CPUTimes{User: time.Duration(s.User), Kernel: time.Duration(s.Kernel), Idle: time.Duration(s.Idle), IOWait: time.Duration(s.Iowait)}
	}
	info, err := conn.GetNodeInfo()
	if err != nil {
		return cpu, nil
	}
	var cells []CellStatistics
	for cell := range int(info.Nodes) {
		// Numbers of cells may have gaps.
		if s, err := conn.GetMemoryStats(cell, 0); err == nil && s.TotalSet && s.FreeSet {
			cells = append(cells, CellStatistics{Cell: int32(cell), Total: int64(s.Total) << 10, Free: int64(s.Free) << 10})
		}
	}
	return cpu, cells
}

// domainStatistics reads one record; memory is in KiB there, and times in ns.
func domainStatistics(uuid string, s *lv.DomainStats) DomainStatistics {
	d := DomainStatistics{UUID: uuid, State: StateUnknown}
	if s.State != nil && s.State.StateSet {
		d.State, _ = stateOf(s.State.State, s.State.Reason)
	}
	if c := s.Cpu; c != nil {
		d.CPU, d.CPUUser, d.CPUSystem = nanoseconds(c.TimeSet, c.Time), nanoseconds(c.UserSet, c.User), nanoseconds(c.SystemSet, c.System)
	}
	for i := range s.Vcpu {
		v := &s.Vcpu[i]
		if !v.StateSet || v.State == lv.VCPU_OFFLINE {
			continue
		}
		d.VCPUs++
		d.VCPU = sum(d.VCPU, nanoseconds(v.TimeSet, v.Time))
		d.VCPUDelay = sum(d.VCPUDelay, nanoseconds(v.DelaySet, v.Delay))
		d.VCPUWait = sum(d.VCPUWait, nanoseconds(v.WaitSet, v.Wait))
	}
	if b := s.Balloon; b != nil {
		kib := func(set bool, n uint64) *int64 { return amount(set, n<<10) }
		d.Memory = MemoryStatistics{
			Maximum: kib(b.MaximumSet, b.Maximum), Current: kib(b.CurrentSet, b.Current), Resident: kib(b.RssSet, b.Rss),
			Available: kib(b.AvailableSet, b.Available), Unused: kib(b.UnusedSet, b.Unused), Usable: kib(b.UsableSet, b.Usable),
			SwapIn: kib(b.SwapInSet, b.SwapIn), SwapOut: kib(b.SwapOutSet, b.SwapOut), MajorFault: amount(b.MajorFaultSet, b.MajorFault),
		}
	}
	for i := range s.Block {
		b := &s.Block[i]
		d.Disks = append(d.Disks, DiskStatistics{
			Device:    b.Name,
			ReadBytes: amount(b.RdBytesSet, b.RdBytes), ReadRequests: amount(b.RdReqsSet, b.RdReqs), ReadTime: nanoseconds(b.RdTimesSet, b.RdTimes),
			WriteBytes: amount(b.WrBytesSet, b.WrBytes), WriteRequests: amount(b.WrReqsSet, b.WrReqs), WriteTime: nanoseconds(b.WrTimesSet, b.WrTimes),
			FlushRequests: amount(b.FlReqsSet, b.FlReqs), FlushTime: nanoseconds(b.FlTimesSet, b.FlTimes),
			Allocation: amount(b.AllocationSet, b.Allocation), Capacity: amount(b.CapacitySet, b.Capacity),
		})
	}
	for i := range s.Net {
		n := &s.Net[i]
		d.Interfaces = append(d.Interfaces, InterfaceStatistics{
			Device:       n.Name,
			ReceiveBytes: amount(n.RxBytesSet, n.RxBytes), ReceivePackets: amount(n.RxPktsSet, n.RxPkts),
			ReceiveErrors: amount(n.RxErrsSet, n.RxErrs), ReceiveDrops: amount(n.RxDropSet, n.RxDrop),
			TransmitBytes: amount(n.TxBytesSet, n.TxBytes), TransmitPackets: amount(n.TxPktsSet, n.TxPkts),
			TransmitErrors: amount(n.TxErrsSet, n.TxErrs), TransmitDrops: amount(n.TxDropSet, n.TxDrop),
		})
	}
	return d
}

// amount is nil for what is not set. libvirt says what it cannot count as the
// largest number.
func amount(set bool, n uint64) *int64 {
	if !set || int64(n) < 0 {
		return nil
	}
	v := int64(n)
	return &v
}

func nanoseconds(set bool, n uint64) *time.Duration {
	v := amount(set, n)
	if v == nil {
		return nil
	}
	d := time.Duration(*v)
	return &d
}

func sum(a, b *time.Duration) *time.Duration {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	total := *a + *b
	return &total
}
