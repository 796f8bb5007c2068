// Package placement holds the real scheduler, in memory and as shipped, against
// an oracle: whatever is created, deleted, evicted, fails or restarts, no host
// is promised twice, nothing leaks, and a VM that waits truly fits nowhere.
package placement

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"pgregory.net/rapid"
)

// fleets is how many random fleets are tried unless -rapid.checks says
// otherwise.
const fleets = "500"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", fleets); err != nil {
		panic(err)
	}
	if err := flag.Set("rapid.seed", fmt.Sprint(time.Now().UnixNano())); err != nil {
		panic(err)
	}
	logs := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(logs)
	// What the scheduler says of failed bindings is meant to happen here.
	for name, value := range map[string]string{"logtostderr": "false", "alsologtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true", "log_file": os.DevNull} {
		if err := logs.Set(name, value); err != nil {
			panic(err)
		}
	}
	flag.Parse()
	os.Exit(m.Run())
}

func TestPlacementTruth(t *testing.T) {
	checks, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(flag.Lookup("rapid.seed").Value.String(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	shards := min(workers, checks)
	fmt.Printf("placement: %d random fleets, seeds %d to %d (one again: -args -rapid.seed=%d -rapid.checks=1)\n", checks, seed, seed+uint64(shards)-1, seed)
	cfg := shipped(t)
	var sum totals
	var running sync.WaitGroup
	for shard := range shards {
		// rapid takes its seed and its count from flags when a check begins.
		setFlag(t, "rapid.seed", seed+uint64(shard))
		setFlag(t, "rapid.checks", uint64((checks+shards-1-shard)/shards))
		begun := make(chan struct{})
		running.Go(func() { checkFleets(t, cfg, &sum, begun) })
		<-begun
	}
	running.Wait()
	fmt.Printf("placement: %s\n", &sum)
	sum.require(t)
}

// workers is how many fleets are tried side by side: most of the time each
// waits for its scheduler to come to rest.
const workers = 8

// setFlag sets one of rapid's flags until the test has ended.
func setFlag(t *testing.T, name string, value uint64) {
	t.Helper()
	before := flag.Lookup(name).Value.String()
	t.Cleanup(func() {
		if err := flag.Set(name, before); err != nil {
			t.Error(err)
		}
	})
	if err := flag.Set(name, strconv.FormatUint(value, 10)); err != nil {
		t.Fatal(err)
	}
}

func checkFleets(t *testing.T, cfg *config.KubeSchedulerConfiguration, sum *totals, begun chan struct{}) {
	var once sync.Once
	t.Run("fleets", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			once.Do(func() { close(begun) })
			w := newWorld(t, cfg)
			defer watch(w)()
			defer w.end()
			t.Repeat(map[string]func(*rapid.T){
				"create":            w.create,
				"create another":    w.create,
				"create urgent":     w.createUrgent,
				"create urgent too": w.createUrgent,
				"delete":            w.delete,
				"delete another":    w.delete,
				"delete one more":   w.delete,
				"resize":            w.resize,
				"resize another":    w.resize,
				"fail bindings":     w.failBindings,
				"restart scheduler": w.restart,
				"add a host":        w.addHost,
				"grow a host":       w.growHost,
				"ask":               w.ask,
				"ask and place":     w.askAndPlace,
				"fill a host":       w.fill,
				"":                  w.check,
			})
			sum.add(w)
		})
	})
}

// totals are what the fleets together went through: a run in which nothing
// happened has shown nothing.
type totals struct {
	mu                                                                         sync.Mutex
	fleets, hosts, created, bound, evicted, failed, restarts, waiting, rescued int
	grown, growing                                                             int
	asked                                                                      asked
}

func (s *totals) add(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleets++
	s.hosts += len(w.hosts)
	s.created += w.created
	s.bound += w.bound
	s.evicted += w.evicted
	s.failed += w.failed
	s.restarts += w.restarts
	s.waiting += w.waiting
	s.rescued += w.rescued
	s.grown += w.store.grown
	s.growing += w.growing
	s.asked.add(&w.asked)
}

func (s *totals) String() string {
	return fmt.Sprintf("%d fleets with %d hosts: %d VMs created, %d bound, %d evicted, %d bindings failed, %d schedulers restarted; %d times a VM that waited was found to fit nowhere, %d times one was tried again by the last resort alone; %d times a VM has grown, %d times one that was to grow was found not to fit; %s",
		s.fleets, s.hosts, s.created, s.bound, s.evicted, s.failed, s.restarts, s.waiting, s.rescued, s.grown, s.growing, &s.asked)
}

// rescuable is up to how many of so many fleets a VM may have waited for the
// scheduler's last resort, on a machine that is busy with other things: it was
// none in 10,000 fleets. A hint that a plugin lacks showed in 1 of 150.
func rescuable(fleets int) int { return 1 + fleets/1000 }

func (s *totals) require(t *testing.T) {
	if t.Failed() {
		return
	}
	for what, n := range map[string]int{
		"VM was bound": s.bound, "VM was evicted": s.evicted, "binding failed": s.failed,
		"scheduler was restarted": s.restarts, "VM had to wait": s.waiting,
		"VM has grown": s.grown, "VM had to wait to grow": s.growing,
	} {
		if n == 0 {
			t.Errorf("no %s in %d fleets: the test has shown nothing of it", what, s.fleets)
		}
	}
	s.asked.require(t, s.fleets)
	if s.rescued > rescuable(s.fleets) {
		t.Errorf("%d VMs in %d fleets waited until the scheduler's last resort: a plugin lacks a queueing hint", s.rescued, s.fleets)
	}
}
