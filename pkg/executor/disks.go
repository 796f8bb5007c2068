package executor

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/volumes"
	"domus.dev/domus/pkg/libvirt"
)

// Users implements volumes.Guests. What guests have is told by their domains, for a
// spec may have been edited since they were started.
func (a *Agent) Users(ctx context.Context, disk *v1alpha1.VirtualDisk) []volumes.User {
	has := libvirt.VolumeRef{Pool: disk.Pool(), Name: disk.VolumeName()}
	var out []volumes.User
	seen := map[string]bool{}
	for _, d := range a.registry.withVolume(has) {
		u := volumes.User{VM: "domain " + d.Name, DomainUUID: d.UUID, Running: d.State.Active(), Saved: d.Saved}
		if o := d.Ownership.Owner; d.Owned && o.Namespace == disk.Namespace {
			u.VM = "VirtualMachine " + o.Name
		}
		seen[d.UUID] = true
		out = append(out, u)
	}
	for _, key := range a.vms.List(ctx) {
		if key.Namespace != disk.Namespace {
			continue
		}
		if vm := a.vms.Get(ctx, key); vm != nil && vm.PlacedOn(a.config.NodeName) && vm.NamesDisk(disk.Name) && !seen[vm.DomainUUID()] {
			out = append(out, volumes.User{VM: "VirtualMachine " + vm.Name, DomainUUID: vm.DomainUUID()})
		}
	}
	return append(out, a.heldBySnapshots(ctx, disk)...)
}

// heldBySnapshots lists the snapshots that have the disk: it goes after them, away
// or to another place.
func (a *Agent) heldBySnapshots(ctx context.Context, disk *v1alpha1.VirtualDisk) (out []volumes.User) {
	if disk.DeletionTimestamp == nil && disk.Status.MoveTo == nil {
		return nil
	}
	names, err := a.snapshots.Holding(ctx, disk.Namespace, disk.UID)
	if err != nil {
		return []volumes.User{{VM: "perhaps a VirtualMachineSnapshot, since the API server does not answer,"}}
	}
	for _, name := range names {
		out = append(out, volumes.User{VM: "VirtualMachineSnapshot " + name, Snapshot: true})
	}
	return out
}

// withVolume lists the domains that have the volume and a guest, running or saved.
func (r *registry) withVolume(v libvirt.VolumeRef) []ownership.Observed {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []ownership.Observed
	for _, d := range r.domains {
		if (d.State.Active() || d.Saved) && slices.Contains(d.Volumes, v) {
			out = append(out, d)
		}
	}
	return out
}

// diskChanged gives turns to the VMs here that name the disk.
func (a *Agent) diskChanged(disk types.NamespacedName) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	if d := a.volumes.Disks.Disk(ctx, disk); d != nil && d.Status.ClaimedBy != nil {
		// It may be one that the VM does not name any more.
		a.queue.Add(types.NamespacedName{Namespace: disk.Namespace, Name: d.Status.ClaimedBy.Name})
	}
	for _, key := range a.vms.List(ctx) {
		if key.Namespace != disk.Namespace {
			continue
		}
		if vm := a.vms.Get(ctx, key); vm != nil && vm.NamesDisk(disk.Name) {
			a.queue.Add(client.ObjectKeyFromObject(vm))
		}
	}
}

// lookAtDisks says in the situation whether the VM can have its disks.
func (a *Agent) lookAtDisks(ctx context.Context, w *work, vm *v1alpha1.VirtualMachine, in *plan.Situation) error {
	if len(vm.Spec.Disks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var err error
	if in.Disks, err = a.volumes.Gate(ctx, vm); err != nil {
		return err
	}
	switch {
	case in.Disks.Waits == "":
		w.memory.DisksSince = time.Time{}
	case w.memory.DisksSince.IsZero():
		w.memory.DisksSince = in.Now
	}
	return nil
}
