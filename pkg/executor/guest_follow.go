package executor

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/turns"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// guestTimeout bounds one conversation with an agent.
	guestTimeout = 20 * time.Second
	// maxInquiries is how many agents are asked at once. Of those, maxDoubtful may
	// be agents that did not answer when they were last asked: they hold up each
	// other, and not the rest.
	maxInquiries = 4
	maxDoubtful  = 2
	// agentSettle is how long after its channel was opened or closed a guest's VM
	// gets its turn: a guest that does nothing else has one turn in that time.
	agentSettle = time.Second
)

// guests asks the agents of the host's guests, beside the VMs' turns, which see
// what was found out and never wait for it.
type guests struct {
	queue workqueue.TypedDelayingInterface[string]
	// asking and doubtful have room for those that are asked.
	asking, doubtful chan struct{}

	mu sync.Mutex
	// known has the guests that have a channel for an agent, by UUID.
	known map[string]*inquiry
}

func newGuests(node string, c clock.WithTicker) *guests {
	return &guests{
		queue:  workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Name: "guests-" + node, Clock: c}),
		asking: make(chan struct{}, maxInquiries), doubtful: make(chan struct{}, maxDoubtful),
		known: map[string]*inquiry{},
	}
}

// observe takes over what a turn of the VM has seen of its domain uuid, d, which
// is nil when it has none; and returns what is known of the guest and, when that
// changes by time alone, in how long.
func (g *guests) observe(owner types.NamespacedName, uuid string, d *ownership.Observed, now time.Time) (plan.GuestView, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.known[uuid]
	if d == nil || !d.State.Active() || d.Agent == libvirt.AgentNone {
		if q != nil && q.owner == owner {
			delete(g.known, uuid)
		}
		return plan.GuestView{}, 0
	}
	if q == nil || q.owner != owner {
		q = newInquiry(owner)
		g.known[uuid] = q
	}
	before := q.due
	q.observe(d.Domain, now)
	if !q.due.IsZero() && q.due != before {
		g.queue.AddAfter(uuid, q.due.Sub(now))
	}
	return q.view(now), q.lookAgain(now)
}

// begin says whether the guest is to be asked now, and returns its life; if not,
// in how long, 0 meaning not before something happens. doubtful says that it did
// not answer when it was last asked.
func (g *guests) begin(uuid string, now time.Time) (ask bool, life int, doubtful bool, after time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.known[uuid]
	switch {
	case q == nil || q.due.IsZero():
		return false, 0, false, 0
	case !q.begin(now):
		return false, 0, false, q.due.Sub(now)
	}
	return true, q.life, q.failures > 0, 0
}

// forget asks no guest of the VM any more.
func (g *guests) forget(owner types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.known, func(_ string, q *inquiry) bool { return q.owner == owner })
}

// end takes over what came of asking the guest that had the life, and returns
// the VM to report it of, if that is called for.
func (g *guests) end(uuid string, life int, said libvirt.GuestInfo, err error, now time.Time) (report *types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.known[uuid]
	if q == nil || q.life != life || q.due.IsZero() {
		return nil // it has ended, or its channel was closed: a look tells more
	}
	var changed bool
	if err == nil {
		changed = q.answered(plan.GuestStatus(said), now, func(d time.Duration) time.Duration { return wait.Jitter(d, askJitter) })
	} else {
		changed = q.failed(err, now)
	}
	g.queue.AddAfter(uuid, q.due.Sub(now))
	if !changed {
		return nil
	}
	owner := q.owner
	return &owner
}

// observeGuest takes over what a turn has seen, and has the VM get another when
// what is known of its guest changes by time alone.
func (a *Agent) observeGuest(vm *v1alpha1.VirtualMachine, d *ownership.Observed, now time.Time) plan.GuestView {
	if d != nil && !d.JudgedBy(vm) {
		d = nil
	}
	key := client.ObjectKeyFromObject(vm)
	view, after := a.guests.observe(key, vm.DomainUUID(), d, now)
	if after > 0 {
		a.queue.AddAfter(key, after)
	}
	return view
}

// agentMoved looks after a guest whose agent has opened or closed its channel.
func (a *Agent) agentMoved(uuid string) {
	if o, known := a.registry.owner(a.clusterID, uuid); known {
		a.queue.AddAfter(types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, agentSettle)
	}
}

// followGuests asks agents as they are due.
func (a *Agent) followGuests(ctx context.Context) {
	turns.Give(a.guests.queue, func(uuid string) { a.inquire(ctx, uuid) })
}

// inquire asks one guest's agent, if that is due.
func (a *Agent) inquire(ctx context.Context, uuid string) {
	ask, life, doubtful, after := a.guests.begin(uuid, a.clock.Now())
	if !ask {
		if after > 0 {
			a.guests.queue.AddAfter(uuid, after)
		}
		return
	}
	need := []chan struct{}{a.guests.asking}
	if doubtful {
		need = []chan struct{}{a.guests.doubtful, a.guests.asking}
	}
	for _, room := range need {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		case <-ctx.Done():
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, guestTimeout)
	defer cancel()
	said, err := a.host.GuestInfo(ctx, uuid)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("A guest agent did not answer", keyUUID, uuid, keyError, err.Error())
		if errors.Is(ctx.Err(), context.Canceled) {
			return
		}
	}
	if owner := a.guests.end(uuid, life, said, err, a.clock.Now()); owner != nil {
		a.Enqueue(*owner)
	}
}
