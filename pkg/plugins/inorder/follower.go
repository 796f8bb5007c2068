package inorder

import (
	"fmt"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"
)

// Informer is the part of an informer that is needed here.
type Informer interface {
	AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
}

// Follower follows the objects of an informer for those who answer for them. It is
// safe for concurrent use.
type Follower struct {
	informer Informer
	kinds    string
	// following is the one registration by which objects become known.
	following atomic.Pointer[registration]
}

type registration struct {
	cache.ResourceEventHandlerRegistration
}

// NewFollower returns a Follower of the informer's objects, whose kind is called
// kinds in errors. It follows none before Follow.
func NewFollower(informer Informer, kinds string) *Follower {
	return &Follower{informer: informer, kinds: kinds}
}

// Follow begins to call own with each object, and then after it: whoever is woken
// finds what woke him. There is one such handler, since two would see events at
// different times, and the later one would undo what the other has seen.
func (f *Follower) Follow(own, then cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	r := &registration{}
	if !f.following.CompareAndSwap(nil, r) {
		return nil, fmt.Errorf("the %s are followed already: one handler alone sees them in order", f.kinds)
	}
	registered, err := f.informer.AddEventHandler(second{first: own, then: then})
	if err != nil {
		f.following.Store(nil)
		return nil, fmt.Errorf("watching %s: %w", f.kinds, err)
	}
	f.following.Store(&registration{registered})
	return registered, nil
}

// Synced says whether all objects have been read.
func (f *Follower) Synced() bool {
	r := f.following.Load()
	return r != nil && r.ResourceEventHandlerRegistration != nil && r.HasSynced()
}

// second calls one handler after another.
type second struct{ first, then cache.ResourceEventHandler }

func (s second) OnAdd(obj any, initial bool) {
	s.first.OnAdd(obj, initial)
	s.then.OnAdd(obj, initial)
}

func (s second) OnUpdate(oldObj, newObj any) {
	s.first.OnUpdate(oldObj, newObj)
	s.then.OnUpdate(oldObj, newObj)
}

func (s second) OnDelete(obj any) {
	s.first.OnDelete(obj)
	s.then.OnDelete(obj)
}
