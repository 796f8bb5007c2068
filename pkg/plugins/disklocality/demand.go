package disklocality

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/podless"
)

// demand is what the disks of one VM ask of hosts. It is not changed once made.
type demand struct {
	// node is the one host that can be; empty when several can.
	node string
	// space is to be had of pools for disks without a home.
	space []space
	// images are to be fetched where they are not yet.
	images []fetched
	// stores are those that disks with a home are in.
	stores []store
	// disks are the VM's.
	disks []wanted
}

// space is an amount of a pool, for all disks of the VM together.
type space struct {
	pool  string
	bytes int64
	// noPool and noSpace are the words for hosts that do not have it.
	noPool, noSpace []string
}

// store is one that several hosts may have.
type store struct {
	pool, store string
	words       []string
}

// wanted is one disk.
type wanted struct {
	disk *v1alpha1.VirtualDisk
	// bytes are to be had of its pool; 0 for a disk with a home.
	bytes int64
}

// demandOf is what the VM's disks ask of hosts, or why none can be asked yet; mu
// is held for reading.
func (d *Disks) demandOf(pod types.UID, vm podless.Identity, names []string) (*demand, string) {
	out := &demand{}
	because := ""
	only := func(node, disk string) string {
		if out.node != "" && out.node != node {
			return fmt.Sprintf("its VirtualDisks %s and %s are on different hosts, %s and %s: leave one of them out of spec.disks, or make a copy of it on the other host",
				because, disk, out.node, node)
		}
		out.node, because = node, disk
		return ""
	}
	for _, name := range names {
		disk := d.disks[types.NamespacedName{Namespace: vm.Namespace, Name: name}]
		if why := d.refuses(disk, name, pod, vm); why != "" {
			return nil, why
		}
		w := wanted{disk: disk}
		why := ""
		switch s := &disk.Status; {
		case s.NodeName != "" && (s.Store == "" || s.VolumeName == ""):
			why = only(s.NodeName, name)
		case s.NodeName != "":
			out.stores = append(out.stores, store{
				pool: disk.Pool(), store: s.Store,
				words: []string{fmt.Sprintf("host(s) do not have %s, where VirtualDisk %s is, as storage pool %s", s.Store, name, disk.Pool())},
			})
		default:
			if p := d.promises[disk.UID]; p != nil && p.vm != "" && p.vm != pod {
				why = only(p.node, name) // many may read it, and one of them takes it there
			} else if disk.Spec.NodeName != "" {
				why = only(disk.Spec.NodeName, name)
			}
			w.bytes = disk.Claim()
			if from := disk.CopyOf(); from != "" && why == "" {
				source := d.disks[types.NamespacedName{Namespace: vm.Namespace, Name: from}]
				if source != nil && source.DeletionTimestamp != nil {
					return nil, fmt.Sprintf("VirtualDisk %s begins as a copy of VirtualDisk %s, which is being deleted: create it anew with another spec.source", name, from)
				}
				if source == nil || source.Status.VolumeName == "" {
					return nil, fmt.Sprintf("VirtualDisk %s begins as a copy of VirtualDisk %s, which has no volume: create that first, with a VM that uses it", name, from)
				}
				why = only(source.Status.NodeName, name)
				w.bytes = max(w.bytes, source.Status.Capacity)
			}
			if from := disk.ImageOf(); from != "" {
				w.bytes = max(w.bytes, out.begin(d.images, disk, from))
			}
			out.ask(disk.Pool(), w.bytes)
		}
		if why != "" {
			return nil, why
		}
		out.disks = append(out.disks, w)
	}
	for i := range out.space {
		s := &out.space[i]
		s.noPool = []string{fmt.Sprintf("host(s) have no active storage pool %s", s.pool)}
		s.noSpace = []string{fmt.Sprintf("host(s) have less than %s left in storage pool %s", capacity.Bytes(s.bytes), s.pool)}
	}
	return out, ""
}

func (d *demand) ask(pool string, bytes int64) {
	at := slices.IndexFunc(d.space, func(s space) bool { return s.pool == pool })
	if at < 0 {
		at = len(d.space)
		d.space = append(d.space, space{pool: pool})
	}
	d.space[at].bytes += bytes
}

// refuses says why the disk cannot be had by the VM now, wherever that may be.
func (d *Disks) refuses(disk *v1alpha1.VirtualDisk, name string, pod types.UID, vm podless.Identity) string {
	switch {
	case disk == nil:
		return fmt.Sprintf("there is no VirtualDisk %s in namespace %s: create it, or leave it out of spec.disks", name, vm.Namespace)
	case disk.DeletionTimestamp != nil:
		return fmt.Sprintf("VirtualDisk %s is being deleted: leave it out of spec.disks, or create another one when it is gone", name)
	case disk.Status.MoveTo != nil:
		return fmt.Sprintf("VirtualDisk %s is being moved to storage pool %s of host %s: it can be used when it is there", name, disk.Status.MoveTo.PoolName, disk.Status.MoveTo.NodeName)
	case !disk.Exclusive():
		return ""
	}
	if p := d.promises[disk.UID]; p != nil && p.moving {
		return fmt.Sprintf("VirtualDisk %s is about to be moved: it can be used when it is there", name)
	}
	if p := d.promises[disk.UID]; p != nil && p.vm != "" && p.vm != pod {
		return alreadyOf(name, p.name)
	}
	if c := disk.Status.ClaimedBy; c != nil && c.UID != vm.UID && d.uses(vm.Namespace, c) {
		return alreadyOf(name, c.Name)
	}
	return ""
}

func alreadyOf(disk, vm string) string {
	return fmt.Sprintf("VirtualDisk %s has a single writer, VirtualMachine %s: stop that with whenStopped Release, or leave the disk out of its spec.disks", disk, vm)
}

// uses says whether the VM that claims a disk has a host, where it may use it.
func (d *Disks) uses(namespace string, c *v1alpha1.DiskClaim) bool {
	vm := d.vms(namespace, c.Name)
	return vm != nil && vm.UID == c.UID && vm.Status.Placement != nil
}

// lacks says what the host does not have of the demand; nil when it has it all.
// mu is held for reading.
func (d *Disks) lacks(w *demand, hv *v1alpha1.Hypervisor) []string {
	for i := range w.stores {
		s := &w.stores[i]
		if p := poolOf(hv, s.pool); p == nil || p.Store != s.store {
			return s.words
		}
	}
	for i := range w.space {
		s := &w.space[i]
		p := poolOf(hv, s.pool)
		if p == nil {
			return s.noPool
		}
		at := placeIn(hv.Name, p)
		if p.Allocatable-d.claims[at]+d.promised(w, at) < s.bytes+w.missing(hv.Name, s.pool) {
			return s.noSpace
		}
	}
	return nil
}

// promised is what is held at the place for the VM's own disks, from an attempt
// of which nobody knows how it ended.
func (d *Disks) promised(w *demand, at place) (bytes int64) {
	for i := range w.disks {
		if p := d.promises[w.disks[i].disk.UID]; p != nil && p.at == at {
			bytes += p.bytes
		}
	}
	return bytes
}
