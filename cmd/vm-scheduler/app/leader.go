package app

import (
	"context"
	"sync"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// leadership opens when this process holds the scheduler's Lease. It never
// closes: kube-scheduler ends the process when the Lease is lost, and with it
// everything that waited here.
type leadership struct {
	won  chan struct{}
	once sync.Once
}

func newLeadership() *leadership { return &leadership{won: make(chan struct{})} }

func (l *leadership) open() { l.once.Do(func() { close(l.won) }) }

// watch returns lock, observed. kube-scheduler sets the election's callbacks
// itself, so leadership is seen where it is decided: in the Lease as written.
func (l *leadership) watch(lock resourcelock.Interface) resourcelock.Interface {
	return &observedLock{Interface: lock, leadership: l}
}

type observedLock struct {
	resourcelock.Interface
	leadership *leadership
}

// Create implements resourcelock.Interface.
func (o *observedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return o.observe(record, o.Interface.Create(ctx, record))
}

// Update implements resourcelock.Interface.
func (o *observedLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return o.observe(record, o.Interface.Update(ctx, record))
}

func (o *observedLock) observe(record resourcelock.LeaderElectionRecord, err error) error {
	if err == nil && record.HolderIdentity == o.Identity() {
		o.leadership.open()
	}
	return err
}

// leaderManager starts what is added to it when this process leads.
type leaderManager struct {
	manager.Manager
	leadership *leadership
}

// Add implements manager.Manager.
func (m *leaderManager) Add(r manager.Runnable) error {
	return m.Manager.Add(&leaderRunnable{Runnable: r, leadership: m.leadership})
}

type leaderRunnable struct {
	manager.Runnable
	leadership *leadership
}

// Start implements manager.Runnable.
func (r *leaderRunnable) Start(ctx context.Context) error {
	select {
	case <-r.leadership.won:
		return r.Runnable.Start(ctx)
	case <-ctx.Done():
		return nil
	}
}
