package libvirt

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	lv "libvirt.org/go/libvirt"
)

const (
	// connectTimeout bounds one attempt: a dead socket can hang for ever.
	connectTimeout = 15 * time.Second
	// alivePoll finds a lost connection whose close callback never came.
	alivePoll = 5 * time.Second
	// firstRetry doubles up to lastRetry, with jitter, while libvirt is away: guests
	// are nobody's to start and stop until it is found to be back, and a try of a
	// local socket costs next to nothing.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Second
	// callTimeout is for calls whose context has no deadline.
	callTimeout = 30 * time.Second
)

// connection is a libvirt reached by URI, connected again whenever it is lost.
type connection struct {
	uri string
	// publish is told what happens; nil on a connection that nobody listens to.
	publish func(Event)
	stream  stream
	cancel  context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	session *session
	why     string // why there is no session

	busy  *busy
	slots slots
	probe probe

	// agents and operations are further connections to the same libvirt, for what
	// waits for an agent in a guest and for Operations, which know what this one
	// is doing; nil where there are none.
	agents, operations *connection
	// storage is one for Storage; nil where this one serves.
	storage *connection
	// statistics is one for Metering; nil where this one serves.
	statistics *connection
}

// Connect returns a Host on the libvirt at uri, such as qemu:///system. It does
// not wait: until libvirt answers, and whenever it goes away, calls fail with
// ErrUnavailable, and it is tried again until Close. EventConnected and
// EventLost tell of it.
func Connect(uri string) Host {
	c := connect(uri)
	c.agents = connectAgents(uri)
	c.operations = &connection{uri: uri, slots: newSlots(), busy: c.busy}
	c.operations.begin()
	c.storage = &connection{uri: uri, slots: newSlots(), busy: c.busy}
	c.storage.begin()
	c.statistics = &connection{uri: uri, slots: newSlots(), busy: c.busy}
	c.statistics.begin()
	return c
}

func connect(uri string) *connection {
	c := &connection{uri: uri, slots: newSlots(), busy: &busy{}}
	c.publish = c.stream.publish
	c.begin()
	return c
}

// begin connects, and goes on until Close.
func (c *connection) begin() {
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.done, c.why = make(chan struct{}), "not connected yet"
	go func() {
		defer close(c.done)
		c.keep(ctx)
	}()
}

// Close implements Host.
func (c *connection) Close() {
	for _, other := range []*connection{c.agents, c.operations, c.storage, c.statistics} {
		if other != nil {
			other.Close()
		}
	}
	c.cancel()
	<-c.done
}

// keep holds a session for as long as it can be had.
func (c *connection) keep(ctx context.Context) {
	wait := firstRetry
	for ctx.Err() == nil {
		s, err := c.attempt(ctx)
		if err != nil {
			c.set(nil, err.Error())
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait/2 + rand.N(wait)):
			}
			wait = min(2*wait, lastRetry)
			continue
		}
		wait = firstRetry
		c.set(s, "")
		c.stream.publish(Event{Kind: EventConnected})
		c.watch(ctx, s)
		c.set(nil, "the connection was lost")
		s.release()
		c.stream.publish(Event{Kind: EventLost})
	}
}

func (c *connection) set(s *session, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.why = s, why
}

// attempt opens a session within connectTimeout. One that opens later is
// closed again.
func (c *connection) attempt(ctx context.Context) (*session, error) {
	type result struct {
		s   *session
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	results := make(chan result)
	go func() {
		s, err := open(c.uri, c.publish)
		select {
		case results <- result{s, err}:
		case <-ctx.Done():
			if s != nil {
				s.release()
			}
		}
	}()
	select {
	case r := <-results:
		return r.s, r.err
	case <-ctx.Done():
		return nil, timedOut(ctx, "connecting to "+c.uri)
	}
}

// watch returns when the session is lost or ctx ends.
func (c *connection) watch(ctx context.Context, s *session) {
	ticker := time.NewTicker(alivePoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lost:
			return
		case <-ticker.C:
			if !s.alive() {
				return
			}
		}
	}
}

// Events implements Host. A reader that comes while libvirt is connected is
// told so first.
func (c *connection) Events(ctx context.Context) <-chan Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return c.stream.read(ctx, Event{Kind: EventConnected})
	}
	return c.stream.read(ctx)
}

func (c *connection) acquire(doing string) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil || !c.session.use() {
		return nil, unavailable(doing, c.why)
	}
	return c.session, nil
}

// call runs fn against the connected libvirt and waits for it no longer than
// ctx allows. fn frees every libvirt object it gets and returns plain values,
// so that a result nobody waits for any more leaks nothing.
func call[T any](ctx context.Context, c *connection, doing string, fn func(*lv.Connect) (T, error)) (T, error) {
	s, err := c.acquire(doing)
	if err != nil {
		var zero T
		return zero, err
	}
	return run(ctx, s, doing, fn)
}

// run is call on a session in use, whose use it ends.
func run[T any](ctx context.Context, s *session, doing string, fn func(*lv.Connect) (T, error)) (T, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	type result struct {
		value T
		err   error
	}
	results := make(chan result, 1)
	go func() {
		defer s.release()
		value, err := fn(s.conn)
		results <- result{value, err}
	}()
	select {
	case r := <-results:
		err := explain(doing, r.err)
		if errors.Is(err, ErrUnavailable) && !s.alive() {
			s.lose()
		}
		return r.value, err
	case <-ctx.Done():
		var zero T
		return zero, timedOut(ctx, doing)
	}
}
