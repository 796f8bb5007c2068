package statistics

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/pkg/metrics"
)

// host is a libvirt with what it is to say.
type host struct {
	statistics libvirt.HostStatistics
	err        error
	// hangs has Statistics wait until it is given up.
	hangs  bool
	free   []libvirt.CellFree
	events chan libvirt.Event
}

func (h *host) Statistics(ctx context.Context) (libvirt.HostStatistics, error) {
	if h.hangs {
		<-ctx.Done()
		return libvirt.HostStatistics{}, libvirt.ErrTimeout
	}
	return h.statistics, h.err
}
func (h *host) FreePages(context.Context) ([]libvirt.CellFree, error) { return h.free, nil }
func (h *host) Pools(context.Context) ([]libvirt.Pool, error) {
	return []libvirt.Pool{{Name: "default", Available: 7 << 30}}, nil
}
func (h *host) Events(context.Context) <-chan libvirt.Event { return h.events }

// known knows the domain "ours", and a host with one pool of 2 MiB pages.
type known struct{}

func (known) GuestOf(uuid string) (namespace, name string, ok bool) {
	return "ns", "web", uuid == "ours"
}
func (known) Cells() []libvirt.Cell {
	return []libvirt.Cell{{ID: 0, Pages: libvirt.Pages{Size2Mi: 512}}, {ID: 1}}
}

func newHost() *host {
	second := ptr.To(time.Second)
	return &host{
		statistics: libvirt.HostStatistics{
			CPU:   &libvirt.CPUTimes{User: time.Second, Kernel: 2 * time.Second, Idle: 3 * time.Second, IOWait: 4 * time.Second},
			Cells: []libvirt.CellStatistics{{Cell: 0, Total: 8 << 30, Free: 2 << 30}},
			Domains: []libvirt.DomainStatistics{
				{
					UUID: "ours", State: libvirt.StateRunning, CPU: second, CPUUser: second, CPUSystem: second, VCPUs: 2, VCPU: second, VCPUDelay: ptr.To(1500 * time.Millisecond), VCPUWait: second,
					Memory: libvirt.MemoryStatistics{Maximum: ptr.To[int64](4), Current: ptr.To[int64](3), Resident: ptr.To[int64](2), Available: ptr.To[int64](1), Unused: ptr.To[int64](1),
						Usable: ptr.To[int64](1), SwapIn: ptr.To[int64](1), SwapOut: ptr.To[int64](1), MajorFault: ptr.To[int64](1)},
					Disks: []libvirt.DiskStatistics{{Device: "vda", ReadBytes: ptr.To[int64](9), ReadRequests: ptr.To[int64](1), WriteBytes: ptr.To[int64](1), WriteRequests: ptr.To[int64](1),
						FlushRequests: ptr.To[int64](1), ReadTime: second, WriteTime: second, FlushTime: second, Allocation: ptr.To[int64](1), Capacity: ptr.To[int64](1)}},
					Interfaces: []libvirt.InterfaceStatistics{{Device: "vnet0", ReceiveBytes: ptr.To[int64](5), ReceivePackets: ptr.To[int64](1), ReceiveErrors: ptr.To[int64](0), ReceiveDrops: ptr.To[int64](0),
						TransmitBytes: ptr.To[int64](1), TransmitPackets: ptr.To[int64](1), TransmitErrors: ptr.To[int64](0), TransmitDrops: ptr.To[int64](0)}},
				},
				{UUID: "somebody else's", State: libvirt.StateRunning, VCPUs: 99},
			},
		},
		free: []libvirt.CellFree{{Cell: 0, Pages: libvirt.Pages{Size2Mi: 100}}, {Cell: 1}}, events: make(chan libvirt.Event, 10),
	}
}

// The table says what vm-executor tells, and a host of which all is known is told
// all of it.
func TestAllOfTheTableIsTold(t *testing.T) {
	h := newHost()
	c := New("n", h, known{}, clock.RealClock{})
	h.events <- libvirt.Event{Kind: libvirt.EventStarted, UUID: "ours"}
	close(h.events)
	c.Run(t.Context())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range families {
		told = append(told, f.GetName())
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), "somebody") || l.GetName() == "name" && l.GetValue() != "web" {
					t.Errorf("%s tells of a domain that is not Domus' own", f.GetName())
				}
			}
		}
	}
	for _, m := range metrics.Table() {
		if (m.Page == metrics.Executor) != slices.Contains(told, m.Name) {
			t.Errorf("%s, of page %s, is told: %t", m.Name, m.Page, slices.Contains(told, m.Name))
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("names: %v %v", problems, err)
	}
	want := `
# HELP domus_vm_vcpu_delay_seconds_total ` + metrics.GuestSteal.Help + `
# TYPE domus_vm_vcpu_delay_seconds_total counter
domus_vm_vcpu_delay_seconds_total{name="web",namespace="ns",node="n"} 1.5
# HELP domus_host_hugepages_free ` + metrics.HugepagesFree.Help + `
# TYPE domus_host_hugepages_free gauge
domus_host_hugepages_free{cell="0",node="n",page_size="2Mi"} 100
# HELP domus_vm_guest_starts_total ` + metrics.GuestStarts.Help + `
# TYPE domus_vm_guest_starts_total counter
domus_vm_guest_starts_total{name="web",namespace="ns",node="n"} 1
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "domus_vm_vcpu_delay_seconds_total", "domus_host_hugepages_free", "domus_vm_guest_starts_total"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotKnownIsNotTold(t *testing.T) {
	h := newHost()
	h.statistics = libvirt.HostStatistics{Domains: []libvirt.DomainStatistics{{UUID: "ours", State: libvirt.StateShutOff, VCPUs: 2}}}
	c := New("n", h, known{}, clock.RealClock{})
	for name, want := range map[string]int{
		"domus_vm_domain_state": 1, "domus_vm_guest_starts_total": 1, "domus_vm_vcpus": 0, "domus_vm_cpu_seconds_total": 0, "domus_host_cpu_seconds_total": 0, "domus_libvirt_up": 1,
	} {
		if n := testutil.CollectAndCount(c, name); n != want {
			t.Errorf("%s has %d series, want %d", name, n, want)
		}
	}
}

// A libvirt that does not answer costs its own metrics, and no more than patience.
func TestALibvirtThatDoesNotAnswer(t *testing.T) {
	for name, change := range map[string]func(*host){
		"is away": func(h *host) { h.err = errors.Join(libvirt.ErrUnavailable) },
		"hangs":   func(h *host) { h.hangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost()
				change(h)
				c, began := New("n", h, known{}, clock.RealClock{}), time.Now()
				if err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP domus_libvirt_up `+metrics.LibvirtUp.Help+`
# TYPE domus_libvirt_up gauge
domus_libvirt_up{node="n"} 0
`), "domus_libvirt_up"); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 2*patience {
					t.Errorf("the page took %s", took)
				}
				if n := testutil.CollectAndCount(c, "domus_vm_vcpus", "domus_host_cell_memory_free_bytes"); n != 0 {
					t.Errorf("%d series are made up", n)
				}
			})
		})
	}
}

func TestStartsOfADomainThatIsGoneAreForgotten(t *testing.T) {
	h := newHeard()
	for _, e := range []libvirt.Event{{Kind: libvirt.EventStarted, UUID: "a"}, {Kind: libvirt.EventStarted, UUID: "a"}, {Kind: libvirt.EventStarted, UUID: "b"}, {Kind: libvirt.EventUndefined, UUID: "a"}} {
		h.take(e)
	}
	if h.starts("a") != 0 || h.starts("b") != 1 || len(h.byUUID) != 1 {
		t.Errorf("starts %v", h.byUUID)
	}
}
