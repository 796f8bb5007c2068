package volumes

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// What reads a volume beside its guest, for a copy, a move or an export, and what
// changes it there, its snapshots or its size, keep apart: a reader would get half of
// either. Readers are streams of libvirt's, which take none of QEMU's locks.

// copying notes that a reader of the disk begins (1) or has ended (-1).
func (k *Keeper) copying(d *v1alpha1.VirtualDisk, by int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.copied[d.UID] += by; k.copied[d.UID] == 0 {
		delete(k.copied, d.UID)
	}
}

func (k *Keeper) beingCopied(d *v1alpha1.VirtualDisk) bool { return k.Copied(d.UID) }

// Copied says whether the disk is being read for a copy, a move or an export.
func (k *Keeper) Copied(disk types.UID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.copied[disk] > 0
}

// Alter begins a change of the disks' volumes, and returns what ends it; false where
// one of them is being read. Readers that come meanwhile are turned away.
func (k *Keeper) Alter(disks ...types.UID) (release func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, uid := range disks {
		if k.copied[uid] > 0 {
			return nil, false
		}
	}
	for _, uid := range disks {
		k.altered[uid]++
	}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, uid := range disks {
			if k.altered[uid]--; k.altered[uid] == 0 {
				delete(k.altered, uid)
			}
		}
	}, true
}

// beingAltered says to a reader, which has said that it begins, whether the disk is
// being changed; empty when it is not.
func (k *Keeper) beingAltered(d *v1alpha1.VirtualDisk) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.altered[d.UID] == 0 {
		return ""
	}
	return fmt.Sprintf("VirtualDisk %s is being brought to a snapshot or another size, or a snapshot of it is being made or removed", d.Name)
}
