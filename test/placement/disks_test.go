package placement

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"k8s.io/client-go/tools/cache"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// disks holds the VirtualDisks, as the API server would, and is the scheduler's
// informer of them.
type disks struct {
	mu       sync.Mutex
	all      map[string]*v1alpha1.VirtualDisk
	handlers []*delivery
	version  int
	// lose is how many claims next fail without being stored, and mute how many
	// are stored while nobody learns of it.
	lose, mute int
	// moved are homes that were given up for others: none ever should be.
	moved []string
	// given counts homes.
	given int
}

func newDisks() *disks { return &disks{all: map[string]*v1alpha1.VirtualDisk{}} }

// AddEventHandler implements inorder.Informer.
func (d *disks) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	to := deliver(handler)
	d.handlers = append(d.handlers, to)
	for _, disk := range d.all {
		to.send(func() { handler.OnAdd(disk, true) })
	}
	to.listed()
	return to, nil
}

func (d *disks) unplug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.handlers {
		h.stop()
	}
	d.handlers = nil
}

// set stores a disk; mu is held.
func (d *disks) set(disk *v1alpha1.VirtualDisk) {
	d.version++
	disk.ResourceVersion = strconv.Itoa(d.version)
	old := d.all[disk.Name]
	d.all[disk.Name] = disk
	for _, h := range d.handlers {
		h.send(func() {
			if old == nil {
				h.handler.OnAdd(disk, false)
				return
			}
			h.handler.OnUpdate(old, disk)
		})
	}
}

func (d *disks) create(disk *v1alpha1.VirtualDisk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set(disk)
}

func (d *disks) remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	disk := d.all[name]
	delete(d.all, name)
	for _, h := range d.handlers {
		h.send(func() { h.handler.OnDelete(disk) })
	}
}

// list returns the disks, not to be changed.
func (d *disks) list() map[string]*v1alpha1.VirtualDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]*v1alpha1.VirtualDisk, len(d.all))
	for name, disk := range d.all {
		out[name] = disk
	}
	return out
}

// ClaimDisk implements disklocality.Writer.
func (c *session) ClaimDisk(_ context.Context, observed *v1alpha1.VirtualDisk, home v1alpha1.DiskHome, claim *v1alpha1.DiskClaim) error {
	c.store.mu.Lock()
	closed := c.closed
	c.store.mu.Unlock()
	if closed {
		return fmt.Errorf("%w: %w", diskstatus.ErrUnknown, errEnded)
	}
	d := c.disks
	d.mu.Lock()
	defer d.mu.Unlock()
	current := d.all[observed.Name]
	switch {
	case current == nil || current.UID != observed.UID || current.ResourceVersion != observed.ResourceVersion:
		return diskstatus.ErrStale
	case d.lose > 0:
		d.lose--
		return diskstatus.ErrStale
	}
	next := current.DeepCopy()
	if s := &current.Status; s.NodeName != "" && s.Home() != home && s.Store == "" {
		d.moved = append(d.moved, fmt.Sprintf("%s from %+v to %+v", next.Name, s.Home(), home))
	}
	if current.Status.NodeName == "" {
		d.given++
	}
	next.Status.NodeName, next.Status.PoolName, next.Status.Store = home.NodeName, home.PoolName, home.Store
	next.Status.ClaimedBy = claim
	d.set(next)
	if d.mute > 0 {
		d.mute--
		return diskstatus.ErrUnknown
	}
	return nil
}

// lookUp implements disklocality.VMs.
func (s *store) lookUp(_, name string) *v1alpha1.VirtualMachine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vms[name]
}
