package libvirt

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"
)

func ptr[T any](v T) *T { return &v }

func TestStatisticsOfADomain(t *testing.T) {
	got := domainStatistics("u", &lv.DomainStats{
		State:   &lv.DomainStatsState{StateSet: true, State: lv.DOMAIN_RUNNING},
		Cpu:     &lv.DomainStatsCPU{TimeSet: true, Time: 3e9},
		Balloon: &lv.DomainStatsBalloon{CurrentSet: true, Current: 2, MajorFaultSet: true, MajorFault: 7},
		Vcpu: []lv.DomainStatsVcpu{
			{StateSet: true, State: lv.VCPU_RUNNING, TimeSet: true, Time: 1e9, DelaySet: true, Delay: 5e8},
			{StateSet: true, State: lv.VCPU_RUNNING, TimeSet: true, Time: 2e9, DelaySet: true, Delay: 25e7},
			{StateSet: true, State: lv.VCPU_OFFLINE, TimeSet: true, Time: 9e9}, {},
		},
		Block: []lv.DomainStatsBlock{{NameSet: true, Name: "vda", RdBytesSet: true, RdBytes: 11, RdTimesSet: true, RdTimes: 1e9, WrBytesSet: true, WrBytes: math.MaxUint64}},
		Net:   []lv.DomainStatsNet{{NameSet: true, Name: "vnet0", RxBytesSet: true, RxBytes: 12, TxDropSet: true, TxDrop: 1}},
	})
	want := DomainStatistics{
		UUID: "u", State: StateRunning, CPU: ptr(3 * time.Second), VCPUs: 2, VCPU: ptr(3 * time.Second), VCPUDelay: ptr(750 * time.Millisecond),
		Memory:     MemoryStatistics{Current: ptr[int64](2048), MajorFault: ptr[int64](7)},
		Disks:      []DiskStatistics{{Device: "vda", ReadBytes: ptr[int64](11), ReadTime: ptr(time.Second)}},
		Interfaces: []InterfaceStatistics{{Device: "vnet0", ReceiveBytes: ptr[int64](12), TransmitDrops: ptr[int64](1)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statistics (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(DomainStatistics{UUID: "u", State: StateUnknown}, domainStatistics("u", &lv.DomainStats{})); diff != "" {
		t.Errorf("of a domain of which libvirt tells nothing (-want +got):\n%s", diff)
	}
}

// libvirt's test driver tells states, and that is what a simulated host has.
func TestStatisticsOfASimulatedHost(t *testing.T) {
	h, err := Simulate(t.TempDir(), "host", Simulation{CPUs: 4, Memory: 8 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	events := h.Events(t.Context())
	for e := range events {
		if e.Kind == EventConnected {
			break
		}
	}
	running, defined := uuid.NewString(), uuid.NewString()
	for name, id := range map[string]string{"running": running, "defined": defined} {
		doc := "<domain type='test'><name>" + name + "</name><uuid>" + id + "</uuid><memory>1024</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>"
		if err := h.Define(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Start(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	all, err := h.Statistics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all.CPU != nil || all.Cells != nil {
		t.Errorf("a host that is none has used %+v and %+v", all.CPU, all.Cells)
	}
	states := map[string]State{}
	for _, d := range all.Domains {
		states[d.UUID] = d.State
	}
	if states[running] != StateRunning || states[defined] != StateShutOff {
		t.Errorf("states %v", states)
	}
}
