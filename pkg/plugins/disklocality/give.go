package disklocality

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// Refusal is why a VM that has a host does not get a disk there.
type Refusal struct {
	// Disk is the VirtualDisk's name.
	Disk string
	// Reason is one of condition DiskClaimsPending's, and Message says it to a
	// person, with the remedy.
	Reason, Message string
}

// Give has a VM that is on the host of hv get the VirtualDisks that its spec names
// and that it has not: a disk that is at home nowhere gets its home on that host if
// there is room, counted as for VMs that are placed, and home and claim are stored
// in one guarded write. It returns why those are not given that cannot be. What has
// been given before costs nothing.
//
// Errors: ErrNotSynced; those of Writer.
func (d *Disks) Give(ctx context.Context, vm *v1alpha1.VirtualMachine, hv *v1alpha1.Hypervisor) ([]Refusal, error) {
	if !d.Synced() {
		return nil, ErrNotSynced
	}
	who := podless.Identity{Namespace: vm.Namespace, Name: vm.Name, UID: vm.UID, Epoch: vm.Status.Epoch}
	// Its Pod's UID may be told to be bound at any time, which ends what Reserve
	// holds: what is given here is held under another.
	by := types.UID("disks of " + string(vm.UID))
	defer d.ended(by, false)
	var refused []Refusal
	var failed error
	for _, name := range vm.DiskNames() {
		given, refusal := d.hold(by, who, name, hv)
		switch {
		case refusal != nil:
			refused = append(refused, *refusal)
			continue
		case given:
			continue
		}
		if err := d.bind(ctx, by, who, name, hv); err != nil {
			failed = errors.Join(failed, fmt.Errorf("giving VirtualMachine %s/%s its disk: %w", vm.Namespace, vm.Name, err))
		}
	}
	return refused, failed
}

// hold promises the disk to the VM on the host; true where it has it already.
func (d *Disks) hold(by types.UID, vm podless.Identity, name string, hv *v1alpha1.Hypervisor) (bool, *Refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	disk := d.disks[key(vm.Namespace, name)]
	if disk != nil && has(disk, vm, hv) {
		return true, nil
	}
	if disk != nil {
		if p := d.promises[disk.UID]; p != nil && p.vm == podless.PodUID(vm.UID, vm.Epoch) {
			return true, nil // the VM is just being bound with it
		}
	}
	demand, why := d.demandOf(by, vm, []string{name})
	switch {
	case why != "" && (disk == nil || disk.DeletionTimestamp != nil):
		return false, &Refusal{Disk: name, Reason: v1alpha1.ReasonDiskMissing, Message: why}
	case why != "" && d.refuses(disk, name, by, vm) != "":
		return false, &Refusal{Disk: name, Reason: v1alpha1.ReasonDiskInUse, Message: why}
	case why != "":
		return false, &Refusal{Disk: name, Reason: v1alpha1.ReasonDiskMissing, Message: why}
	case demand.node != "" && demand.node != hv.Name:
		return false, &Refusal{Disk: name, Reason: v1alpha1.ReasonDiskElsewhere, Message: fmt.Sprintf(
			"VirtualDisk %s is on host %s and the VM on %s: make a copy of it here, leave it out of spec.disks, or stop the VM with whenStopped Release, and start it, so that it is placed where all its disks are",
			name, demand.node, hv.Name)}
	}
	if words := d.lacks(demand, hv); words != nil {
		reason := v1alpha1.ReasonNoSpace
		if len(demand.stores) > 0 {
			reason = v1alpha1.ReasonDiskElsewhere
		}
		return false, &Refusal{Disk: name, Reason: reason, Message: fmt.Sprintf("VirtualDisk %s: host %s is one of those %s: see to that, or stop the VM with whenStopped Release, and start it, so that it is placed anew", name, hv.Name, plainly(words[0]))}
	}
	d.promise(by, vm.Name, demand, hv)
	return false, nil
}

// plainly is a reason for a number of hosts, for a sentence about one of them.
func plainly(words string) string {
	const hosts = "host(s) "
	if len(words) > len(hosts) && words[:len(hosts)] == hosts {
		return "that " + words[len(hosts):]
	}
	return words
}

// has says whether the disk is the VM's on the host already.
func has(disk *v1alpha1.VirtualDisk, vm podless.Identity, hv *v1alpha1.Hypervisor) bool {
	home, ok := homeAt(disk, hv)
	if !ok || disk.Status.NodeName == "" || disk.Status.Home() != home {
		return false
	}
	if home.NodeName != hv.Name && !hasStoreOf(hv, disk) {
		return false
	}
	c := disk.Status.ClaimedBy
	return !disk.Exclusive() || c != nil && c.UID == vm.UID
}

// promise holds for the VM what is demanded of the host; mu is held.
func (d *Disks) promise(by types.UID, name string, demand *demand, hv *v1alpha1.Hypervisor) {
	for _, w := range demand.disks {
		if !w.disk.Exclusive() && w.bytes == 0 {
			continue
		}
		d.drop(w.disk.UID) // what an earlier attempt held
		held := &promise{vm: by, name: name, node: hv.Name, bytes: w.bytes}
		if w.bytes > 0 {
			held.at = placeIn(hv.Name, poolOf(hv, w.disk.Pool()))
			d.take(held.at, held.bytes)
		}
		d.promises[w.disk.UID] = held
	}
}
