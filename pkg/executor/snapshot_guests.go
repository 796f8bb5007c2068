package executor

import (
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/snapshots"
	"domus.dev/domus/pkg/libvirt"
)

// snapshotGuests are the host's VMs, as the keeper of snapshots sees them.
type snapshotGuests struct{ *Agent }

// Guest implements snapshots.Guests.
func (g snapshotGuests) Guest(ctx context.Context, vm *v1alpha1.VirtualMachine) (snapshots.Guest, error) {
	d, err := g.look(ctx, vm.DomainUUID())
	if err != nil || d == nil || !d.Owned || d.Ownership.Owner.UID != vm.UID || d.Ownership.ClusterID != g.clusterID {
		return snapshots.Guest{}, err
	}
	others := slices.ContainsFunc(d.Written, func(v libvirt.VolumeRef) bool { return !strings.Contains(v.Name, v1alpha1.VolumeMark) })
	return snapshots.Guest{Domain: &d.Domain, Writes: others}, nil
}

// User implements snapshots.Guests.
func (g snapshotGuests) User(volume libvirt.VolumeRef) string {
	for _, d := range g.registry.withVolume(volume) {
		if d.State.Active() {
			return d.UUID
		}
	}
	return ""
}

// Occupy implements snapshots.Guests.
func (g snapshotGuests) Occupy(ctx context.Context, vm types.NamespacedName) (func(), error) {
	return g.occupied.take(ctx, vm)
}

// Alter implements snapshots.Guests.
func (g snapshotGuests) Alter(disks ...types.UID) (func(), bool) { return g.volumes.Alter(disks...) }

// Copied implements snapshots.Guests.
func (g snapshotGuests) Copied(disk types.UID) bool { return g.volumes.Copied(disk) }

// Operates implements snapshots.Guests.
func (g snapshotGuests) Operates(ctx context.Context, vm types.NamespacedName, operation types.UID) bool {
	return g.operations.watched != nil && slices.ContainsFunc(g.operations.watched.Of(ctx, vm), func(op *v1alpha1.VirtualMachineOperation) bool {
		return op.UID == operation && op.DeletionTimestamp == nil && !op.Status.Finished()
	})
}

// Deadline implements snapshots.Guests: as long as a save may take.
func (g snapshotGuests) Deadline(vm *v1alpha1.VirtualMachine) time.Duration { return plan.SaveTime(vm) }
