package placementmap

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Informer is one of those that vm-scheduler has.
type Informer interface {
	AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
}

// every is how often changes are taken over: what changes several times meanwhile,
// as a VM does on its way to a host, is counted once.
const every = 200 * time.Millisecond

// Fleet follows the informers and keeps the documents. Informers' threads only note
// what has changed; Start makes documents of it.
type Fleet struct {
	journal *journal
	handled []cache.ResourceEventHandlerRegistration
	synced  atomic.Bool

	mu sync.Mutex
	// What the informers have; the objects are theirs and are not changed.
	vms         map[key]*v1alpha1.VirtualMachine
	hypervisors map[string]*v1alpha1.Hypervisor
	nodes       map[string]*corev1.Node
	// placed are the VMs by host.
	placed map[string]map[key]*v1alpha1.VirtualMachine
	// changed are the VMs and hosts that differ from their documents.
	changed map[key]bool
}

// NewFleet returns a Fleet of the informers of VirtualMachines, Hypervisors and
// Nodes.
func NewFleet(vms, hypervisors, nodes Informer) (*Fleet, error) {
	f := &Fleet{
		journal:     newJournal(),
		vms:         map[key]*v1alpha1.VirtualMachine{},
		hypervisors: map[string]*v1alpha1.Hypervisor{},
		nodes:       map[string]*corev1.Node{},
		placed:      map[string]map[key]*v1alpha1.VirtualMachine{},
		changed:     map[key]bool{},
	}
	for _, of := range []struct {
		informer Informer
		handler  cache.ResourceEventHandler
	}{
		{vms, handler(f.setVM)},
		{hypervisors, handler(f.setHypervisor)},
		{nodes, handler(f.setNode)},
	} {
		registration, err := of.informer.AddEventHandler(of.handler)
		if err != nil {
			return nil, fmt.Errorf("following objects for the placement map: %w", err)
		}
		f.handled = append(f.handled, registration)
	}
	return f, nil
}

// handler calls set with each object, and whether it is there.
func handler[T any](set func(T, bool)) cache.ResourceEventHandler {
	see := func(obj any, there bool) {
		if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = unknown.Obj
		}
		if object, ok := obj.(T); ok {
			set(object, there)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { see(obj, true) },
		UpdateFunc: func(_, obj any) { see(obj, true) },
		DeleteFunc: func(obj any) { see(obj, false) },
	}
}

func (f *Fleet) setVM(vm *v1alpha1.VirtualMachine, there bool) {
	k := key{vm.Namespace, vm.Name}
	f.mu.Lock()
	defer f.mu.Unlock()
	if before := f.vms[k]; before != nil {
		f.leave(k, before)
		delete(f.vms, k)
	}
	if there {
		f.vms[k] = vm
		if p := vm.Status.Placement; p != nil {
			if f.placed[p.NodeName] == nil {
				f.placed[p.NodeName] = map[key]*v1alpha1.VirtualMachine{}
			}
			f.placed[p.NodeName][k] = vm
			f.changed[key{name: p.NodeName}] = true
		}
	}
	f.changed[k] = true
}

// leave takes a VM off the host that it had.
func (f *Fleet) leave(k key, vm *v1alpha1.VirtualMachine) {
	if p := vm.Status.Placement; p != nil {
		delete(f.placed[p.NodeName], k)
		if len(f.placed[p.NodeName]) == 0 {
			delete(f.placed, p.NodeName)
		}
		f.changed[key{name: p.NodeName}] = true
	}
}

func (f *Fleet) setHypervisor(hv *v1alpha1.Hypervisor, there bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set(f.hypervisors, hv.Name, hv, there)
	f.changed[key{name: hv.Name}] = true
}

func (f *Fleet) setNode(node *corev1.Node, there bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set(f.nodes, node.Name, node, there)
	f.changed[key{name: node.Name}] = true
}

func set[T any](all map[string]T, name string, value T, there bool) {
	if there {
		all[name] = value
	} else {
		delete(all, name)
	}
}

// NeedLeaderElection says that every replica keeps a map.
func (f *Fleet) NeedLeaderElection() bool { return false }

// Start takes changes over until ctx ends.
func (f *Fleet) Start(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		// What is read below is what they had delivered by then.
		delivered := f.delivered()
		if err := f.update(); err != nil {
			return err
		}
		if delivered {
			f.synced.Store(true)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (f *Fleet) delivered() bool {
	for _, h := range f.handled {
		if !h.HasSynced() {
			return false
		}
	}
	return true
}

// update makes the documents of what has changed.
func (f *Fleet) update() error {
	documents := map[key][]byte{}
	for k, document := range f.take() {
		if document == nil {
			documents[k] = nil
			continue
		}
		data, err := json.Marshal(document)
		if err != nil {
			return fmt.Errorf("writing a document of the placement map: %w", err)
		}
		documents[k] = data
	}
	if len(documents) > 0 {
		f.journal.put(documents)
	}
	return nil
}

// take returns the hosts and VMs that have changed, as they are; nil for those that
// are gone.
func (f *Fleet) take() map[key]any {
	type parts struct {
		hv   *v1alpha1.Hypervisor
		node *corev1.Node
		vms  []*v1alpha1.VirtualMachine
		vm   *v1alpha1.VirtualMachine
	}
	f.mu.Lock()
	changed := make(map[key]parts, len(f.changed))
	for k := range f.changed {
		if k.namespace != "" {
			changed[k] = parts{vm: f.vms[k]}
			continue
		}
		changed[k] = parts{hv: f.hypervisors[k.name], node: f.nodes[k.name], vms: sorted(f.placed[k.name])}
	}
	clear(f.changed)
	f.mu.Unlock()

	// Counting is done outside the lock, for which informers would wait.
	out := make(map[key]any, len(changed))
	for k, p := range changed {
		switch {
		case p.vm != nil:
			out[k] = vmOf(p.vm)
		case p.hv != nil:
			out[k] = hostOf(p.hv, p.node, p.vms)
		default:
			out[k] = nil
		}
	}
	return out
}
