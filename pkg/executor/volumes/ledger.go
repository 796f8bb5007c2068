package volumes

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ledger counts what of each pool is promised to disks of this host, so that two
// that are looked at side by side are not promised the same.
type ledger struct {
	mu sync.Mutex
	// granted are bytes that a turn has found room for and the disk does not show
	// yet, by its UID.
	granted map[types.UID]int64
	// made are the sizes of the volumes that there were at the last look, in bytes, by
	// the UID of the disk: one may have grown, and the process have died before the disk
	// showed it.
	made map[types.UID]int64
	// incoming are what disks that are being moved here will take, by their UID.
	incoming map[types.UID]incoming
}

// saw takes over the sizes of the volumes that there are.
func (l *ledger) saw(made map[types.UID]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = made
}

// incoming is bytes of a pool.
type incoming struct {
	pool  string
	bytes int64
}

// room is what the pool has beside all disks but the one, of all that VirtualDisks
// may have of it.
func (l *ledger) room(d *v1alpha1.VirtualDisk, all []*v1alpha1.VirtualDisk, allocatable int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left(d.Pool(), d.UID, all, allocatable)
}

// left is room for the disk in a pool; mu is held.
func (l *ledger) left(pool string, disk types.UID, all []*v1alpha1.VirtualDisk, allocatable int64) int64 {
	home := map[types.UID]bool{}
	for _, other := range all {
		if other.Pool() != pool {
			continue
		}
		home[other.UID] = true
		if other.UID != disk {
			allocatable -= max(other.Claim(), l.granted[other.UID], l.made[other.UID])
		}
	}
	for id, in := range l.incoming {
		if in.pool == pool && id != disk && !home[id] {
			allocatable -= in.bytes
		}
	}
	return allocatable
}

// receive promises bytes of the pool to a disk that is being moved there, if there
// is room. It holds until forget.
func (l *ledger) receive(id types.UID, pool string, all []*v1alpha1.VirtualDisk, allocatable, bytes int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left(pool, id, all, allocatable) < bytes {
		return false
	}
	if l.incoming == nil {
		l.incoming = map[types.UID]incoming{}
	}
	l.incoming[id] = incoming{pool: pool, bytes: bytes}
	return true
}

// received forgets what was promised to a disk that was being moved here.
func (l *ledger) received(id types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.incoming, id)
}

// grant promises bytes to the disk if there is room. It holds until the disk shows
// that it has as much, or forget.
func (l *ledger) grant(d *v1alpha1.VirtualDisk, all []*v1alpha1.VirtualDisk, allocatable, bytes int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left(d.Pool(), d.UID, all, allocatable) < bytes {
		return false
	}
	if l.granted == nil {
		l.granted = map[types.UID]int64{}
	}
	l.granted[d.UID] = bytes
	return true
}

// promised is what a turn has found room for, or there was at the last look, whether
// or not the disk shows it yet.
func (l *ledger) promised(id types.UID) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.granted[id], l.made[id])
}

// settle drops what disks show themselves, or what is theirs no more. arrives says
// of a disk whether it is being moved here from another host.
func (l *ledger) settle(all []*v1alpha1.VirtualDisk, arrives func(types.UID) bool) {
	there := map[types.UID]*v1alpha1.VirtualDisk{}
	for _, d := range all {
		there[d.UID] = d
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, bytes := range l.granted {
		if d := there[id]; d == nil || d.Status.Capacity >= bytes {
			delete(l.granted, id)
		}
	}
	for id, in := range l.incoming {
		if arrives(id) {
			continue
		}
		// Another pool of this host is where it may be moved to.
		if d := there[id]; d == nil || d.Status.MoveTo == nil || d.Status.MoveTo.PoolName != in.pool {
			delete(l.incoming, id)
		}
	}
}

// forget takes a promise back that came to nothing.
func (l *ledger) forget(id types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.granted, id)
}
