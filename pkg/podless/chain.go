package podless

import (
	"slices"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// chain calls handlers one after another, in the order in which they were added, and
// from one goroutine at a time. client-go would call each from a goroutine of its own:
// the scheduler's queue could wake a VM for another one that is gone before the plugins
// know that, who would turn it away, and nothing would wake it again. The plugins add
// theirs when they are made, and the queue does after them.
//
// The two halves of a podInformer call it concurrently, and handlers are written for
// an informer that does not.
type chain struct {
	calling sync.Mutex

	mu       sync.Mutex
	handlers []*link
}

// link is one handler of a chain.
type link struct{ cache.ResourceEventHandler }

func (c *chain) add(h cache.ResourceEventHandler) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &link{h}
	// A slice of its own: whoever is calling has the one before.
	c.handlers = append(slices.Clone(c.handlers), l)
	return l
}

func (c *chain) remove(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers = slices.DeleteFunc(slices.Clone(c.handlers), func(other *link) bool { return other == l })
}

func (c *chain) each(call func(cache.ResourceEventHandler)) {
	c.calling.Lock()
	defer c.calling.Unlock()
	c.mu.Lock()
	handlers := c.handlers
	c.mu.Unlock()
	for _, l := range handlers {
		call(l)
	}
}

// OnAdd implements cache.ResourceEventHandler.
func (c *chain) OnAdd(obj any, initial bool) {
	c.each(func(h cache.ResourceEventHandler) { h.OnAdd(obj, initial) })
}

// OnUpdate implements cache.ResourceEventHandler.
func (c *chain) OnUpdate(oldObj, newObj any) {
	c.each(func(h cache.ResourceEventHandler) { h.OnUpdate(oldObj, newObj) })
}

// OnDelete implements cache.ResourceEventHandler.
func (c *chain) OnDelete(obj any) {
	c.each(func(h cache.ResourceEventHandler) { h.OnDelete(obj) })
}
