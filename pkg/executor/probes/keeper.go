package probes

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"domus.dev/domus/pkg/executor/turns"
)

const (
	// maxProbes is how many probes are made at once, and maxDoubtful how many more of
	// guests that do not serve: those that hang hold up each other, and not the rest.
	maxProbes   = 32
	maxDoubtful = 32
)

// Maker makes one probe, in no more than the timeout, and returns why it failed, in
// one line; empty when it succeeded. A Prober is one.
type Maker interface {
	Probe(ctx context.Context, t Target, timeout time.Duration) string
}

var _ Maker = Prober{}

// Keeper probes the guests of a host.
type Keeper struct {
	maker Maker
	clock clock.Clock
	// changed is called with the VM of a guest of which another thing is known.
	changed func(types.NamespacedName)
	queue   workqueue.TypedDelayingInterface[types.NamespacedName]
	// healthy and doubtful have room for those that are probed.
	healthy, doubtful chan struct{}

	mu     sync.Mutex
	trials map[types.NamespacedName]*trial
}

// New returns a Keeper that does nothing before Run. node names its queue.
func New(node string, m Maker, c clock.WithTicker, changed func(types.NamespacedName)) *Keeper {
	return &Keeper{
		maker: m, clock: c, changed: changed,
		queue:   workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[types.NamespacedName]{Name: "probes-" + node, Clock: c}),
		healthy: make(chan struct{}, maxProbes), doubtful: make(chan struct{}, maxDoubtful),
		trials: map[types.NamespacedName]*trial{},
	}
}

// Run makes probes as they are due, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, k.queue.ShutDown)
	defer stop()
	turns.Give(k.queue, func(vm types.NamespacedName) { k.Turn(ctx, vm) })
}

// Observe takes over what a turn of the VM has seen, nil when its guest is not to be
// probed, and returns what is known.
func (k *Keeper) Observe(vm types.NamespacedName, target *Target, now time.Time) View {
	k.mu.Lock()
	defer k.mu.Unlock()
	if target == nil {
		delete(k.trials, vm)
		return View{}
	}
	t := k.trials[vm]
	if t == nil {
		t = newTrial()
		k.trials[vm] = t
	}
	before := t.due
	t.observe(*target, now, rand.N[time.Duration])
	if !t.due.IsZero() && t.due != before {
		k.queue.AddAfter(vm, t.due.Sub(now))
	}
	return t.view
}

// Forget probes nothing of the VM any more.
func (k *Keeper) Forget(vm types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.trials, vm)
}

// Turn makes the VM's probe, if it is due. No two of a VM may be at the same time.
func (k *Keeper) Turn(ctx context.Context, vm types.NamespacedName) {
	k.mu.Lock()
	t := k.trials[vm]
	if t == nil {
		k.mu.Unlock()
		return
	}
	now := k.clock.Now()
	number, due := t.begin(now)
	target, timeout, room := t.target, t.timeout(), k.healthy
	if t.view.Verdict != Serves {
		room = k.doubtful
	}
	if !due && !t.due.IsZero() && t.running == 0 {
		k.queue.AddAfter(vm, t.due.Sub(now))
	}
	k.mu.Unlock()
	if !due {
		return
	}
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	failure := k.maker.Probe(ctx, target, timeout)
	<-room
	if ctx.Err() != nil {
		return // the host is given up, and that says nothing of the guest
	}
	k.mu.Lock()
	now = k.clock.Now()
	changed := false
	if k.trials[vm] == t {
		changed = t.end(number, failure, now)
		if !t.due.IsZero() && t.running == 0 {
			k.queue.AddAfter(vm, t.due.Sub(now))
		}
	}
	k.mu.Unlock()
	if changed {
		k.changed(vm)
	}
}
