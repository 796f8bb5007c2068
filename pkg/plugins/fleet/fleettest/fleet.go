// Package fleettest makes Fleets for tests.
package fleettest

import (
	"testing"

	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
)

// New is a Fleet that has read these Hypervisors; it sees others by See.
func New(t testing.TB, hosts ...*v1alpha1.Hypervisor) *fleet.Fleet {
	t.Helper()
	return follow(t, true, hosts)
}

// Unread is a Fleet that has yet to read its Hypervisors.
func Unread(t testing.TB) *fleet.Fleet {
	t.Helper()
	return follow(t, false, nil)
}

func follow(t testing.TB, synced bool, hosts []*v1alpha1.Hypervisor) *fleet.Fleet {
	t.Helper()
	f := fleet.New(informer(synced))
	if _, err := f.Follow(cache.ResourceEventHandlerFuncs{}); err != nil {
		t.Fatal(err)
	}
	for _, hv := range hosts {
		f.See(hv)
	}
	return f
}

// informer delivers nothing, and says whether it has delivered all.
type informer bool

func (i informer) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i, nil
}

func (i informer) HasSynced() bool                   { return bool(i) }
func (informer) HasSyncedChecker() cache.DoneChecker { return nil }
