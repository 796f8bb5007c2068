package inorder

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/cache"
)

// informer calls the last handler that was registered.
type informer struct {
	cache.ResourceEventHandlerRegistration
	handler cache.ResourceEventHandler
	err     error
}

func (i *informer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.handler = h
	return i, i.err
}

func (i *informer) HasSynced() bool { return true }

func noting(to *[]string, who string) cache.ResourceEventHandler {
	note := func(what string) { *to = append(*to, who+" "+what) }
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { note("adds") }, UpdateFunc: func(any, any) { note("updates") }, DeleteFunc: func(any) { note("deletes") },
	}
}

func TestWhoIsToldSecondFindsWhatTheFirstKnows(t *testing.T) {
	var told []string
	events := &informer{err: errors.New("gone")}
	f := NewFollower(events, "Things")
	if _, err := f.Follow(noting(&told, "own"), noting(&told, "then")); err == nil || f.Synced() {
		t.Fatalf("%v, synced %t", err, f.Synced())
	}
	events.err = nil
	if _, err := f.Follow(noting(&told, "own"), noting(&told, "then")); err != nil || !f.Synced() {
		t.Fatalf("%v, synced %t", err, f.Synced())
	}
	if _, err := f.Follow(noting(&told, "another"), noting(&told, "another")); err == nil || !strings.Contains(err.Error(), "the Things are followed already") {
		t.Fatal(err)
	}
	events.handler.OnAdd(1, false)
	events.handler.OnUpdate(1, 2)
	events.handler.OnDelete(2)
	want := []string{"own adds", "then adds", "own updates", "then updates", "own deletes", "then deletes"}
	if !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}
