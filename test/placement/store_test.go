package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/controller/binding"
	"domus.dev/domus/pkg/podless"
)

// store holds the VMs, as the API server would, and gives each binding to its
// host. It is the scheduler's source of VMs.
type store struct {
	mu       sync.Mutex
	vms      map[string]*v1alpha1.VirtualMachine
	handlers []*delivery
	version  int
	// writes are the last ones, in words.
	writes []string
	// failBinds is how many bindings fail next without being stored.
	failBinds int
	// accept is asked for each binding that is stored.
	accept func(vm *v1alpha1.VirtualMachine) error
	// resize is asked for each grant that has changed.
	resize func(vm *v1alpha1.VirtualMachine) error
	// grown counts the growths that were granted.
	grown int
	// refused are bindings that their hosts could not accept: none ever should be.
	refused []error
}

func newStore(accept func(vm *v1alpha1.VirtualMachine) error) *store {
	return &store{vms: map[string]*v1alpha1.VirtualMachine{}, accept: accept}
}

// AddEventHandler implements podless.VMInformer.
func (s *store) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := deliver(h)
	s.handlers = append(s.handlers, d)
	for _, vm := range s.vms {
		d.send(func() { h.OnAdd(seen(vm), true) })
	}
	d.listed()
	return d, nil
}

// unplug forgets whoever was told of changes: the scheduler has ended.
func (s *store) unplug() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.handlers {
		d.stop()
	}
	s.handlers = nil
}

// seen is the VM as the scheduler's informer keeps it.
func seen(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachine {
	out := vm.DeepCopy()
	podless.Trim(out)
	return out
}

// write stores a change and tells the handlers; the caller holds the lock.
func (s *store) write(vm *v1alpha1.VirtualMachine) {
	s.version++
	vm.ResourceVersion = strconv.Itoa(s.version)
	old := s.vms[vm.Name]
	s.vms[vm.Name] = vm
	s.note(vm)
	for _, d := range s.handlers {
		d.send(func() {
			if old == nil {
				d.handler.OnAdd(seen(vm), false)
				return
			}
			d.handler.OnUpdate(seen(old), seen(vm))
		})
	}
}

// remembered is how many writes are kept, to be told when something never ends.
const remembered = 60

func (s *store) note(vm *v1alpha1.VirtualMachine) {
	node := ""
	if vm.Status.Placement != nil {
		node = vm.Status.Placement.NodeName
	}
	if len(s.writes) == remembered {
		s.writes = slices.Delete(s.writes, 0, 1)
	}
	s.writes = append(s.writes, fmt.Sprintf("%s %s (%s): epoch %d, on %q, nominated %q, evicted %v: %s",
		vm.ResourceVersion, vm.Name, vm.Spec.PriorityClassName, vm.Status.Epoch, node, vm.Status.NominatedNodeName, vm.Status.Eviction != nil, said(vm)))
}

func (s *store) recent() string { return strings.Join(s.writes, "\n") }

func (s *store) create(vm *v1alpha1.VirtualMachine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(vm)
}

// remove deletes a VM for good: its guest is gone already.
func (s *store) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	vm := s.vms[name]
	delete(s.vms, name)
	for _, d := range s.handlers {
		d.send(func() { d.handler.OnDelete(seen(vm)) })
	}
}

// list returns copies of all VMs by name.
func (s *store) list() []*v1alpha1.VirtualMachine {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*v1alpha1.VirtualMachine
	for _, vm := range s.vms {
		out = append(out, vm.DeepCopy())
	}
	slices.SortFunc(out, func(a, b *v1alpha1.VirtualMachine) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return out
}

// change applies f to what vm identifies, if that is still so.
func (s *store) change(vm podless.Identity, f func(*v1alpha1.VirtualMachine) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.vms[vm.Name]
	if current == nil || current.UID != vm.UID || current.Status.Epoch != vm.Epoch {
		return fmt.Errorf("VirtualMachine %s is gone", vm.Name)
	}
	next := current.DeepCopy()
	if err := f(next); err != nil {
		return err
	}
	s.write(next)
	return nil
}

var errNotStored = errors.New("the binding was not stored")

// session is one scheduler's connection to the store, by which it binds and
// writes. What a scheduler that has ended had not sent is lost.
type session struct {
	store  *store
	disks  *disks
	closed bool // guarded by store.mu
}

var errEnded = errors.New("the scheduler has ended")

func (c *session) close() {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.closed = true
}

func (c *session) change(vm podless.Identity, f func(*v1alpha1.VirtualMachine) error) error {
	return c.store.change(vm, func(vm *v1alpha1.VirtualMachine) error {
		if c.closed {
			return errEnded
		}
		return f(vm)
	})
}

// Bind implements vmbinder.Binder.
func (c *session) Bind(_ context.Context, vm podless.Identity, generation int64, node string, reserved *v1alpha1.Placement) error {
	s := c.store
	return c.change(vm, func(vm *v1alpha1.VirtualMachine) error {
		switch {
		case s.failBinds > 0:
			s.failBinds--
			return errNotStored
		case vm.Generation != generation || vm.Status.Placement != nil:
			return fmt.Errorf("VirtualMachine %s has moved on", vm.Name)
		}
		vm.Status.Placement = &v1alpha1.Placement{NodeName: node, Granted: podless.Desired(vm)}
		if reserved != nil {
			vm.Status.Placement.Cells, vm.Status.Placement.Devices = reserved.Cells, reserved.Devices
		}
		vm.Status.NominatedNodeName = ""
		// Its host has it run at once, by which it may grow.
		vm.Status.Host = &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: v1alpha1.HostRunning}
		if err := s.accept(vm); err != nil {
			s.refused = append(s.refused, err)
		}
		return nil
	})
}

// Grow implements vmbinder.Binder, as binding.Binder does.
func (c *session) Grow(_ context.Context, vm podless.Identity, generation int64, node string, more capacity.Resources) error {
	s := c.store
	return c.change(vm, func(vm *v1alpha1.VirtualMachine) error {
		growth := podless.GrowthOf(vm)
		switch {
		case s.failBinds > 0:
			s.failBinds--
			return errNotStored
		case growth == nil, vm.Generation != generation, growth.Needs != more, vm.Status.Placement.NodeName != node:
			return fmt.Errorf("VirtualMachine %s has moved on", vm.Name)
		}
		vm.Status.Placement.Granted = growth.Granted
		vm.Status.Conditions = nil
		if err := s.resize(vm); err != nil {
			s.refused = append(s.refused, err)
		}
		s.grown++
		return nil
	})
}

// GrowthPending implements podless.Writer.
func (c *session) GrowthPending(_ context.Context, vm podless.Identity, pending *metav1.Condition) error {
	return c.change(vm, func(vm *v1alpha1.VirtualMachine) error {
		if vm.Generation == pending.ObservedGeneration && podless.GrowthOf(vm) != nil {
			vm.Status.Conditions = []metav1.Condition{*pending}
		}
		return nil
	})
}

// Pending implements podless.Writer.
func (c *session) Pending(_ context.Context, vm podless.Identity, scheduled *metav1.Condition, nominated string) error {
	return c.change(vm, func(vm *v1alpha1.VirtualMachine) error {
		if vm.Status.Placement != nil {
			return nil
		}
		vm.Status.NominatedNodeName = nominated
		if scheduled != nil {
			vm.Status.Conditions = []metav1.Condition{*scheduled}
		}
		return nil
	})
}

// Evict implements podless.Writer, as binding.Binder does.
func (c *session) Evict(_ context.Context, vm podless.Identity, reason, message string) error {
	return c.change(vm, func(vm *v1alpha1.VirtualMachine) error {
		switch {
		case vm.Status.Placement == nil:
			return binding.ErrNotBound
		case vm.Status.Eviction == nil:
			vm.Status.Eviction = &v1alpha1.Eviction{Reason: reason, Message: message, RequestedAt: metav1.Now()}
		}
		return nil
	})
}

// release ends the bindings of all VMs whose hosts were asked to give them up,
// and says how many.
func (s *store) release(gone func(vm *v1alpha1.VirtualMachine)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, vm := range s.vms {
		if vm.Status.Eviction == nil {
			continue
		}
		gone(vm)
		next := vm.DeepCopy()
		next.Status.Epoch++
		next.Status.Placement, next.Status.Eviction, next.Status.NominatedNodeName = nil, nil, ""
		s.write(next)
		n++
	}
	return n
}
