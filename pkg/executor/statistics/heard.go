package statistics

import (
	"sync"

	"domus.dev/domus/pkg/libvirt"
)

// heard counts a host's events by kind, and starts by domain.
type heard struct {
	mu     sync.Mutex
	events map[libvirt.EventKind]int
	byUUID map[string]int
}

func newHeard() *heard {
	return &heard{events: map[libvirt.EventKind]int{}, byUUID: map[string]int{}}
}

func (h *heard) take(e libvirt.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events[e.Kind]++
	switch e.Kind {
	case libvirt.EventStarted:
		h.byUUID[e.UUID]++
	case libvirt.EventUndefined:
		delete(h.byUUID, e.UUID)
	}
}

func (h *heard) starts(uuid string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byUUID[uuid]
}

func (h *heard) each(tell func(event string, n int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for kind, n := range h.events {
		tell(string(kind), n)
	}
}
