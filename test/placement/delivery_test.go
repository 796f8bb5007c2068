package placement

import (
	"sync"

	"k8s.io/client-go/tools/cache"
)

// delivery calls one handler, in order and from a goroutine of its own, as an
// informer does. It is also that handler's registration.
type delivery struct {
	handler cache.ResourceEventHandler

	mu      sync.Mutex
	pending []func()
	wake    chan struct{}
	ended   chan struct{}
	once    sync.Once
	// synced is closed when the handler has what was there at the beginning.
	synced chan struct{}
}

func deliver(h cache.ResourceEventHandler) *delivery {
	d := &delivery{handler: h, wake: make(chan struct{}, 1), ended: make(chan struct{}), synced: make(chan struct{})}
	go d.run()
	return d
}

func (d *delivery) send(call func()) {
	d.mu.Lock()
	d.pending = append(d.pending, call)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *delivery) stop() { d.once.Do(func() { close(d.ended) }) }

func (d *delivery) run() {
	for {
		select {
		case <-d.wake:
		case <-d.ended:
			return
		}
		d.mu.Lock()
		calls := d.pending
		d.pending = nil
		d.mu.Unlock()
		for _, call := range calls {
			call()
		}
	}
}

// listed is to be called once all that was there at the beginning has been sent.
func (d *delivery) listed() { d.send(func() { close(d.synced) }) }

func (d *delivery) HasSynced() bool {
	select {
	case <-d.synced:
		return true
	default:
		return false
	}
}

func (d *delivery) HasSyncedChecker() cache.DoneChecker { return d }
func (d *delivery) Name() string                        { return "listed" }
func (d *delivery) Done() <-chan struct{}               { return d.synced }
