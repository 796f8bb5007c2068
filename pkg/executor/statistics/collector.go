// Package statistics tells metrics of hosts and guests as libvirt has them.
package statistics

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/pkg/metrics"
)

// patience is how long a page waits for a libvirt. Whoever asks for the page gives
// up after 10 s.
const patience = 5 * time.Second

// Host is what is asked of a libvirt.
type Host interface {
	Statistics(ctx context.Context) (libvirt.HostStatistics, error)
	FreePages(ctx context.Context) ([]libvirt.CellFree, error)
	Pools(ctx context.Context) ([]libvirt.Pool, error)
	Events(ctx context.Context) <-chan libvirt.Event
}

// Known is what the executor knows of its host.
type Known interface {
	// GuestOf is the VM whose domain it is; false where there is none that Domus
	// knows of.
	GuestOf(uuid string) (namespace, name string, ok bool)
	// Cells are the host's NUMA cells; none until the host was described.
	Cells() []libvirt.Cell
}

// Collector is a prometheus.Collector for one host.
type Collector struct {
	node  string
	host  Host
	known Known
	clock clock.PassiveClock
	emit  *metrics.Emitter
	heard *heard

	// asking is held while libvirt is asked.
	asking sync.Mutex
}

// Metrics lists what a Collector tells.
func Metrics() []*metrics.Metric {
	var out []*metrics.Metric
	for _, m := range metrics.Table() {
		if m.Page == metrics.Executor {
			out = append(out, m)
		}
	}
	return out
}

// New returns a Collector for the host of a Node.
func New(node string, host Host, known Known, clk clock.PassiveClock) *Collector {
	return &Collector{
		node: node, host: host, known: known, clock: clk, emit: metrics.NewEmitter(Metrics()...),
		heard: newHeard(),
	}
}

// Run counts the host's events until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	for e := range c.host.Events(ctx) {
		c.heard.take(e)
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) { c.emit.Describe(to) }

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	t := teller{Collector: c, to: to}
	began := c.clock.Now()
	all, ok := c.ask()
	t.send(metrics.LibvirtUp, number(ok), c.node)
	t.send(metrics.LibvirtDuration, c.clock.Since(began).Seconds(), c.node)
	c.heard.each(func(event string, n int) { t.send(metrics.DomainEvents, float64(n), c.node, event) })
	if !ok {
		return
	}
	t.tellHost(&all)
	for i := range all.Domains {
		t.tellDomain(&all.Domains[i])
	}
}

// answers are all that libvirt is asked for.
type answers struct {
	libvirt.HostStatistics
	free  []libvirt.CellFree
	pools []libvirt.Pool
}

// ask asks libvirt for the parts side by side, for no longer than patience; false
// when it does not answer. Two who want the page are served one after the other.
func (c *Collector) ask() (answers, bool) {
	c.asking.Lock()
	defer c.asking.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out answers
	var err error
	var parts sync.WaitGroup
	parts.Go(func() { out.HostStatistics, err = c.host.Statistics(ctx) })
	// A host of which these are not known still has the rest.
	parts.Go(func() { out.free, _ = c.host.FreePages(ctx) })
	parts.Go(func() { out.pools, _ = c.host.Pools(ctx) })
	parts.Wait()
	return out, err == nil
}

// teller sends what one look has found.
type teller struct {
	*Collector
	to chan<- prometheus.Metric
}

func (t *teller) send(m *metrics.Metric, value float64, labels ...string) {
	t.emit.Send(t.to, m, value, labels...)
}

func (t *teller) tellHost(all *answers) {
	if cpu := all.CPU; cpu != nil {
		for mode, d := range map[string]time.Duration{"user": cpu.User, "kernel": cpu.Kernel, "idle": cpu.Idle, "iowait": cpu.IOWait} {
			t.send(metrics.HostCPUSeconds, d.Seconds(), t.node, mode)
		}
	}
	for _, cell := range all.Cells {
		id := strconv.Itoa(int(cell.Cell))
		t.send(metrics.CellTotalMemory, float64(cell.Total), t.node, id)
		t.send(metrics.CellFreeMemory, float64(cell.Free), t.node, id)
	}
	pools := map[int32]libvirt.Pages{}
	for _, cell := range t.known.Cells() {
		pools[cell.ID] = cell.Pages
	}
	for _, free := range all.free {
		id, total := strconv.Itoa(int(free.Cell)), pools[free.Cell]
		for _, pool := range []struct {
			size        string
			total, free int64
		}{{"2Mi", total.Size2Mi, free.Pages.Size2Mi}, {"1Gi", total.Size1Gi, free.Pages.Size1Gi}} {
			if pool.total > 0 {
				t.send(metrics.HugepagesTotal, float64(pool.total), t.node, id, pool.size)
				t.send(metrics.HugepagesFree, float64(pool.free), t.node, id, pool.size)
			}
		}
	}
	for i := range all.pools {
		t.send(metrics.PoolAvailable, float64(all.pools[i].Available), t.node, all.pools[i].Name)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
