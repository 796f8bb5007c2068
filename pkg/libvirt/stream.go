package libvirt

import (
	"context"
	"sync"
)

// stream hands events to any number of readers. libvirt's event loop must never
// wait for a reader, and a lost event is a guest whose end nobody notices, so
// each reader has a queue without a bound; a host has few events.
type stream struct {
	mu      sync.Mutex
	readers map[*queue]struct{}
}

type queue struct {
	mu     sync.Mutex
	events []Event
	// ready holds a token while events is not empty.
	ready chan struct{}
}

func (s *stream) publish(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for q := range s.readers {
		q.mu.Lock()
		q.events = append(q.events, e)
		q.mu.Unlock()
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
}

func (q *queue) take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = nil
	return events
}

// read delivers what is published from now on until ctx ends. first is
// delivered before anything else.
func (s *stream) read(ctx context.Context, first ...Event) <-chan Event {
	q := &queue{events: first, ready: make(chan struct{}, 1)}
	q.ready <- struct{}{}
	s.mu.Lock()
	if s.readers == nil {
		s.readers = map[*queue]struct{}{}
	}
	s.readers[q] = struct{}{}
	s.mu.Unlock()

	out := make(chan Event)
	go func() {
		defer close(out)
		defer func() {
			s.mu.Lock()
			delete(s.readers, q)
			s.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case <-q.ready:
			}
			for _, e := range q.take() {
				select {
				case <-ctx.Done():
					return
				case out <- e:
				}
			}
		}
	}()
	return out
}
