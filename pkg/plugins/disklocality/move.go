package disklocality

import (
	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Room is how many bytes of the host's pool nobody but the disk was promised; 0
// when there is no such pool.
func (d *Disks) Room(disk types.UID, hv *v1alpha1.Hypervisor, pool string) int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.room(disk, hv, pool)
}

// room is Room; mu is held for reading.
func (d *Disks) room(disk types.UID, hv *v1alpha1.Hypervisor, pool string) int64 {
	p := poolOf(hv, pool)
	if p == nil {
		return 0
	}
	at := placeIn(hv.Name, p)
	room := p.Allocatable - d.claims[at]
	if held := d.promises[disk]; held != nil && held.at == at {
		room += held.bytes
	}
	return room
}

// Hold promises so many bytes of the host's pool to a disk that is to be moved
// there, if there is room and nobody is being given the disk. The promise holds
// until the disk shows its target, or the returned function is called.
func (d *Disks) Hold(disk *v1alpha1.VirtualDisk, hv *v1alpha1.Hypervisor, pool string, bytes int64) (giveBack func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := poolOf(hv, pool)
	if held := d.promises[disk.UID]; p == nil || held != nil && held.vm != "" || d.room(disk.UID, hv, pool) < bytes {
		return nil, false
	}
	d.drop(disk.UID) // what an earlier attempt held
	held := &promise{at: placeIn(hv.Name, p), bytes: bytes, writes: 1, moving: true}
	d.take(held.at, bytes)
	d.promises[disk.UID] = held
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.promises[disk.UID] == held {
			d.drop(disk.UID)
		}
	}, true
}
