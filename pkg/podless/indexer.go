package podless

import (
	"errors"
	"fmt"

	"k8s.io/client-go/tools/cache"
)

// podIndexer reads both halves of the Pods as one. A projected Pod's name tells
// which half holds a key. Nothing is written through it: informers fill the
// halves themselves.
type podIndexer struct {
	real, projected cache.Indexer
}

var _ cache.Indexer = &podIndexer{}

// errReadOnly is returned by everything that would write.
var errReadOnly = errors.New("the merged store of pods and VirtualMachines is read-only")

func (x *podIndexer) half(key string) cache.Indexer {
	if _, name, err := cache.SplitMetaNamespaceKey(key); err == nil && IsProjected(name) {
		return x.projected
	}
	return x.real
}

func (x *podIndexer) List() []any { return append(x.real.List(), x.projected.List()...) }

func (x *podIndexer) ListKeys() []string {
	return append(x.real.ListKeys(), x.projected.ListKeys()...)
}

func (x *podIndexer) Get(obj any) (any, bool, error) {
	key, err := cache.MetaNamespaceKeyFunc(obj)
	if err != nil {
		return nil, false, fmt.Errorf("reading a Pod's key: %w", err)
	}
	return x.GetByKey(key)
}

func (x *podIndexer) GetByKey(key string) (any, bool, error) { return x.half(key).GetByKey(key) }

func (x *podIndexer) Index(name string, obj any) ([]any, error) {
	r, errR := x.real.Index(name, obj)
	p, errP := x.projected.Index(name, obj)
	return append(r, p...), errors.Join(errR, errP)
}

func (x *podIndexer) IndexKeys(name, value string) ([]string, error) {
	r, errR := x.real.IndexKeys(name, value)
	p, errP := x.projected.IndexKeys(name, value)
	return append(r, p...), errors.Join(errR, errP)
}

func (x *podIndexer) ListIndexFuncValues(name string) []string {
	values := x.real.ListIndexFuncValues(name)
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		seen[v] = true
	}
	for _, v := range x.projected.ListIndexFuncValues(name) {
		if !seen[v] {
			values = append(values, v)
		}
	}
	return values
}

func (x *podIndexer) ByIndex(name, value string) ([]any, error) {
	r, errR := x.real.ByIndex(name, value)
	p, errP := x.projected.ByIndex(name, value)
	return append(r, p...), errors.Join(errR, errP)
}

func (x *podIndexer) GetIndexers() cache.Indexers { return x.real.GetIndexers() }

func (x *podIndexer) AddIndexers(indexers cache.Indexers) error {
	return errors.Join(x.real.AddIndexers(indexers), x.projected.AddIndexers(indexers))
}

func (x *podIndexer) Add(any) error               { return errReadOnly }
func (x *podIndexer) Update(any) error            { return errReadOnly }
func (x *podIndexer) Delete(any) error            { return errReadOnly }
func (x *podIndexer) Replace([]any, string) error { return errReadOnly }
func (x *podIndexer) Resync() error               { return nil }

// Bookmark does nothing: each half keeps its own version.
func (x *podIndexer) Bookmark(string) {}

// LastStoreSyncResourceVersion returns the real half's; the projected half's
// counts nothing that an API server knows.
func (x *podIndexer) LastStoreSyncResourceVersion() string {
	return x.real.LastStoreSyncResourceVersion()
}
