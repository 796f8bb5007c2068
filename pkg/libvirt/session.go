package libvirt

import (
	"sync"

	lv "libvirt.org/go/libvirt"
)

// session is one life of a connection. The binding's connection must not be
// used after its Close, while calls that were given up on may still run in it:
// uses are counted, and the last one closes.
type session struct {
	conn      *lv.Connect
	callbacks []int
	// pools are the callbacks about storage pools.
	pools []int

	mu   sync.Mutex
	uses int

	// lost is closed when libvirt says that the connection is gone.
	lost     chan struct{}
	loseOnce sync.Once
}

// eventLoop runs libvirt's event loop, without which neither events nor
// keepalives arrive. It must be there before the first connection is opened and
// serves every connection of the process.
var eventLoop = sync.OnceValue(func() error {
	if err := lv.EventRegisterDefaultImpl(); err != nil {
		return explain("starting libvirt's event loop", err)
	}
	go func() {
		for {
			// An error is about one turn of the loop; the next may well work.
			_ = lv.EventRunDefaultImpl()
		}
	}()
	return nil
})

// keepalive: a libvirtd that does not answer 3 probes, 5 s apart, is lost.
const (
	keepaliveSeconds = 5
	keepaliveCount   = 3
)

// open connects to uri and, unless it is nil, sends what happens to publish.
func open(uri string, publish func(Event)) (*session, error) {
	if err := eventLoop(); err != nil {
		return nil, err
	}
	conn, err := lv.NewConnect(uri)
	if err != nil {
		return nil, explain("connecting to "+uri, err)
	}
	s := &session{conn: conn, uses: 1, lost: make(chan struct{})}
	// Neither is offered by libvirt's in-process drivers, whose connection
	// cannot be lost.
	_ = conn.RegisterCloseCallback(func(*lv.Connect, lv.ConnectCloseReason) { s.lose() })
	_ = conn.SetKeepAlive(keepaliveSeconds, keepaliveCount)
	if publish == nil {
		return s, nil
	}
	if err := s.listen(publish); err != nil {
		s.release()
		return nil, explain("listening to the events of "+uri, err)
	}
	return s, nil
}

// listen sends what happens to publish. What becomes of domains must be heard;
// a driver that does not tell of the rest has none of it.
func (s *session) listen(publish func(Event)) error {
	tell := func(d *lv.Domain, e Event) {
		// d belongs to libvirt and is valid only here; both calls are local.
		var err error
		if e.UUID, err = d.GetUUIDString(); err != nil {
			return
		}
		if e.Name, err = d.GetName(); err != nil {
			return
		}
		publish(e)
	}
	id, err := s.conn.DomainEventLifecycleRegister(nil, func(_ *lv.Connect, d *lv.Domain, e *lv.DomainEventLifecycle) {
		tell(d, lifecycle(e))
	})
	if err != nil {
		return err
	}
	s.callbacks = append(s.callbacks, id)
	heard := func(id int, err error) {
		if err == nil {
			s.callbacks = append(s.callbacks, id)
		}
	}
	heard(s.conn.DomainEventRebootRegister(nil, func(_ *lv.Connect, d *lv.Domain) {
		tell(d, Event{Kind: EventRebooted})
	}))
	heard(s.conn.DomainEventAgentLifecycleRegister(nil, func(_ *lv.Connect, d *lv.Domain, _ *lv.DomainEventAgentLifecycle) {
		tell(d, Event{Kind: EventAgent})
	}))
	heard(s.conn.DomainEventBalloonChangeRegister(nil, func(_ *lv.Connect, d *lv.Domain, _ *lv.DomainEventBalloonChange) {
		tell(d, Event{Kind: EventBalloon})
	}))
	heard(s.conn.DomainEventWatchdogRegister(nil, func(_ *lv.Connect, d *lv.Domain, e *lv.DomainEventWatchdog) {
		tell(d, watchdog(e))
	}))
	heard(s.conn.DomainEventIOErrorReasonRegister(nil, func(_ *lv.Connect, d *lv.Domain, e *lv.DomainEventIOErrorReason) {
		tell(d, diskError(e))
	}))
	heard(s.conn.DomainEventDeviceRemovedRegister(nil, func(_ *lv.Connect, d *lv.Domain, e *lv.DomainEventDeviceRemoved) {
		tell(d, Event{Kind: EventUnplugged, Device: e.DevAlias})
	}))
	heard(s.conn.DomainEventDeviceRemovalFailedRegister(nil, func(_ *lv.Connect, d *lv.Domain, e *lv.DomainEventDeviceRemovalFailed) {
		tell(d, Event{Kind: EventKept, Device: e.DevAlias})
	}))
	id, err = s.conn.StoragePoolEventLifecycleRegister(nil, func(_ *lv.Connect, p *lv.StoragePool, _ *lv.StoragePoolEventLifecycle) {
		if name, err := p.GetName(); err == nil { // it is local
			publish(Event{Kind: EventPool, Name: name})
		}
	})
	if err == nil { // or there is no storage driver
		s.pools = append(s.pools, id)
	}
	return nil
}

func (s *session) lose() { s.loseOnce.Do(func() { close(s.lost) }) }

// use takes part in the session; false when it has been closed.
func (s *session) use() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses == 0 {
		return false
	}
	s.uses++
	return true
}

// release ends one use, and with the last one the connection.
func (s *session) release() {
	s.mu.Lock()
	s.uses--
	last := s.uses == 0
	s.mu.Unlock()
	if !last {
		return
	}
	// Both fail on a dead connection, of which nothing is left to tidy.
	for _, id := range s.callbacks {
		_ = s.conn.DomainEventDeregister(id)
	}
	for _, id := range s.pools {
		_ = s.conn.StoragePoolEventDeregister(id)
	}
	_ = s.conn.UnregisterCloseCallback()
	_, _ = s.conn.Close()
}

func (s *session) alive() bool {
	select {
	case <-s.lost:
		return false
	default:
	}
	alive, err := s.conn.IsAlive()
	return err == nil && alive
}
