// Package fleet is the hosts as the scheduler's plugins see them: what each
// Hypervisor reports, and the account of what VMs hold there in the current
// scheduling cycle. All plugins of all profiles share one Fleet, so that a host
// is counted once and by one arithmetic.
package fleet

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/inorder"
)

// Resource is how the scheduler's queue knows Hypervisors.
const Resource fwk.EventResource = "hypervisors.v1alpha1.domus.dev"

// ErrNotSynced says that the hosts' Hypervisors have not all been read yet. The
// scheduler does not wait for them when it starts; as an error it has a VM
// tried again soon, where no event would.
var ErrNotSynced = errors.New("the hosts' Hypervisors have not been read yet")

// Fleet knows the hosts. It is safe for concurrent use.
type Fleet struct {
	*known
	// accounts holds *account by name.
	accounts sync.Map
	// reads is set for a Reader.
	reads bool
}

// known is what a Fleet and its Readers share.
type known struct {
	// hosts holds *host by name.
	hosts    sync.Map
	follower *inorder.Follower

	sorts        sorts
	listeners    listeners
	reservations reservations
	placements   placements
	nominations  nominations
	forget       sync.Once
}

// host is a Hypervisor made ready.
type host struct {
	hypervisor *v1alpha1.Hypervisor
	// topology is what the Hypervisor says alone; err is set, and topology
	// empty, where it contradicts itself.
	topology numa.Host
	err      error
	// superseded is set when the host has reported something else since, or is
	// gone: who holds this one need not look up which is the newest.
	superseded atomic.Bool
}

// New returns a Fleet for the Hypervisors of an informer. It knows none before
// Follow, which the scheduler's queue calls through Factory.
func New(hypervisors inorder.Informer) *Fleet {
	return &Fleet{known: &known{follower: inorder.NewFollower(hypervisors, "Hypervisors")}}
}

// Follow begins to follow the Hypervisors, and calls then after each that the
// Fleet has taken over.
func (f *Fleet) Follow(then cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return f.follower.Follow(cache.ResourceEventHandlerFuncs{AddFunc: f.saw, UpdateFunc: func(_, obj any) { f.saw(obj) }, DeleteFunc: f.lost}, then)
}

// Synced says whether all Hypervisors have been read.
func (f *Fleet) Synced() bool { return f.follower.Synced() }

func (f *Fleet) saw(obj any) {
	if hv, ok := obj.(*v1alpha1.Hypervisor); ok {
		f.See(hv)
	}
}

// See takes over a Hypervisor, which must not be changed afterwards.
func (f *Fleet) See(hv *v1alpha1.Hypervisor) {
	h := &host{hypervisor: hv}
	h.topology, h.err = numa.FromHypervisor(&hv.Status)
	f.sorts.add(hv)
	f.supersede(f.hosts.Swap(hv.Name, h))
	f.listeners.tell(hv.Name)
}

func (f *Fleet) lost(obj any) {
	name := ""
	switch o := obj.(type) {
	case cache.DeletedFinalStateUnknown:
		name = o.Key
	case *v1alpha1.Hypervisor:
		name = o.Name
	}
	f.supersede(f.hosts.LoadAndDelete(name))
	f.accounts.Delete(name)
	f.listeners.tell(name)
}

func (f *Fleet) supersede(old any, was bool) {
	if was {
		h := old.(*host)
		h.superseded.Store(true)
		f.sorts.remove(h.hypervisor)
	}
}

// Hypervisor returns what the host of this name reports, not to be changed; nil
// when nothing is known of it.
func (f *Fleet) Hypervisor(name string) *v1alpha1.Hypervisor {
	if h := f.host(name); h != nil {
		return h.hypervisor
	}
	return nil
}

func (f *Fleet) host(name string) *host {
	if h, ok := f.hosts.Load(name); ok {
		return h.(*host)
	}
	return nil
}

// FollowVMs forgets what is kept about a VM's binding when the scheduler sees
// it end. Calling it again, as each profile does, changes nothing.
func (f *Fleet) FollowVMs(pods inorder.Informer) (err error) {
	f.forget.Do(func() {
		_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				f.ended(pod.UID)
			}
		}})
	})
	if err != nil {
		return fmt.Errorf("watching VirtualMachines: %w", err)
	}
	return nil
}

func (f *Fleet) ended(uid types.UID) {
	f.reservations.remove(uid)
	f.placements.remove(uid)
	f.nominations.remove(uid)
}
