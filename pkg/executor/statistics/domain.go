package statistics

import (
	"time"

	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/pkg/metrics"
)

// tellDomain tells of a VM's domain. Domains that are not Domus' own are nobody's
// business here.
func (t *teller) tellDomain(d *libvirt.DomainStatistics) {
	namespace, name, ok := t.known.GuestOf(d.UUID)
	if !ok {
		return
	}
	labels := []string{t.node, namespace, name}
	t.send(metrics.GuestState, 1, t.node, namespace, name, string(d.State))
	t.send(metrics.GuestStarts, float64(t.heard.starts(d.UUID)), labels...)
	if !d.State.Active() {
		return
	}
	t.send(metrics.GuestVCPUs, float64(d.VCPUs), labels...)
	t.times(labels, times{
		{metrics.GuestCPU, d.CPU}, {metrics.GuestCPUUser, d.CPUUser}, {metrics.GuestCPUSystem, d.CPUSystem},
		{metrics.GuestVCPU, d.VCPU}, {metrics.GuestSteal, d.VCPUDelay}, {metrics.GuestVCPUWait, d.VCPUWait},
	})
	m := &d.Memory
	t.amounts(labels, amounts{
		{metrics.GuestMemoryMaximum, m.Maximum}, {metrics.GuestMemoryCurrent, m.Current}, {metrics.GuestMemoryResident, m.Resident},
		{metrics.GuestMemoryAvailable, m.Available}, {metrics.GuestMemoryUnused, m.Unused}, {metrics.GuestMemoryUsable, m.Usable},
		{metrics.GuestSwapIn, m.SwapIn}, {metrics.GuestSwapOut, m.SwapOut}, {metrics.GuestMajorFaults, m.MajorFault},
	})
	for i := range d.Disks {
		disk := &d.Disks[i]
		labels := []string{t.node, namespace, name, disk.Device}
		t.amounts(labels, amounts{
			{metrics.BlockReadBytes, disk.ReadBytes}, {metrics.BlockReadRequests, disk.ReadRequests},
			{metrics.BlockWriteBytes, disk.WriteBytes}, {metrics.BlockWriteRequests, disk.WriteRequests},
			{metrics.BlockFlushRequests, disk.FlushRequests}, {metrics.BlockCapacity, disk.Capacity}, {metrics.BlockAllocation, disk.Allocation},
		})
		t.times(labels, times{
			{metrics.BlockReadSeconds, disk.ReadTime}, {metrics.BlockWriteSeconds, disk.WriteTime}, {metrics.BlockFlushSeconds, disk.FlushTime},
		})
	}
	for i := range d.Interfaces {
		nic := &d.Interfaces[i]
		t.amounts([]string{t.node, namespace, name, nic.Device}, amounts{
			{metrics.NetReceiveBytes, nic.ReceiveBytes}, {metrics.NetReceivePackets, nic.ReceivePackets},
			{metrics.NetReceiveErrors, nic.ReceiveErrors}, {metrics.NetReceiveDrops, nic.ReceiveDrops},
			{metrics.NetTransmitBytes, nic.TransmitBytes}, {metrics.NetTransmitPackets, nic.TransmitPackets},
			{metrics.NetTransmitErrors, nic.TransmitErrors}, {metrics.NetTransmitDrops, nic.TransmitDrops},
		})
	}
}

type (
	amounts []struct {
		metric *metrics.Metric
		value  *int64
	}
	times []struct {
		metric *metrics.Metric
		value  *time.Duration
	}
)

func (t *teller) amounts(labels []string, all amounts) {
	for _, a := range all {
		if a.value != nil {
			t.send(a.metric, float64(*a.value), labels...)
		}
	}
}

func (t *teller) times(labels []string, all times) {
	for _, a := range all {
		if a.value != nil {
			t.send(a.metric, a.value.Seconds(), labels...)
		}
	}
}
