package volumes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
)

// Gate says whether the guest of a VM can have its disks on this host.
type Gate struct {
	// Volumes are what the guest gets, by the names of VirtualDisks.
	Volumes map[string]convert.Volume
	// Waits says what is waited for; empty when all are ready.
	Waits string
	// Elsewhere lists disks that the VM cannot have where it is: they are at home on
	// another host, or on none, being moved, or another VM's. It is to be placed anew.
	Elsewhere []string
	// Why says of each disk that is not among Volumes, by its name, why it is not,
	// and Hosts which host those are at home on that are on another.
	Why, Hosts map[string]string
}

// Gate looks at the VM's disks. It asks the API server for those alone that are
// not at home here.
func (k *Keeper) Gate(ctx context.Context, vm *v1alpha1.VirtualMachine) (Gate, error) {
	out := Gate{}
	if len(vm.Spec.Disks) == 0 {
		return out, nil
	}
	out.Volumes, out.Why, out.Hosts = map[string]convert.Volume{}, map[string]string{}, map[string]string{}
	var waits []string
	for _, name := range vm.DiskNames() {
		key := types.NamespacedName{Namespace: vm.Namespace, Name: name}
		wait := func(format string, args ...any) {
			out.Why[name] = fmt.Sprintf(format, args...)
			waits = append(waits, out.Why[name])
		}
		d := k.Disks.Disk(ctx, key)
		if d == nil || !usable(d, vm) || k.givenBack(d) {
			var err error
			if d, err = k.read(ctx, key); err != nil {
				return out, err
			}
		}
		switch {
		case d == nil:
			wait("there is no VirtualDisk %s: create it, or leave it out of spec.disks", key.Name)
		case d.Status.MoveTo != nil:
			// It is to be had where it goes; until then the VM waits without a host.
			out.Elsewhere = append(out.Elsewhere, key.Name)
		case !k.canBeHere(d) || d.Exclusive() && (d.Status.ClaimedBy == nil || d.Status.ClaimedBy.UID != vm.UID):
			out.Elsewhere = append(out.Elsewhere, key.Name)
			out.Why[name] = fmt.Sprintf("VirtualDisk %s is not this VM's: condition %s says why, if that lasts", name, v1alpha1.ConditionDiskClaimsPending)
			if at := d.Status.NodeName; at != "" && at != k.Node && d.Status.Store == "" {
				out.Hosts[name] = at
			}
		case d.DeletionTimestamp != nil:
			wait("VirtualDisk %s is being deleted: leave it out of spec.disks", key.Name)
		case !Ready(d):
			wait("VirtualDisk %s is not ready: %s", key.Name, why(d))
		case k.beingCopied(d) && d.Spec.AccessMode != v1alpha1.DiskSharedReadOnly:
			wait("VirtualDisk %s is being copied", key.Name)
		default:
			if other := k.other(ctx, d, vm); other != "" {
				wait("%s still has VirtualDisk %s", other, key.Name)
				continue
			}
			out.Volumes[key.Name] = convert.Volume{
				Pool: d.Pool(), Name: d.VolumeName(), Format: d.Status.Format,
				ReadOnly: d.Spec.AccessMode == v1alpha1.DiskSharedReadOnly, Shared: !d.Exclusive(),
			}
		}
	}
	out.Waits = strings.Join(waits, "; ")
	return out, nil
}

// usable says whether what the watch has of the disk is enough to go by.
func usable(d *v1alpha1.VirtualDisk, vm *v1alpha1.VirtualMachine) bool {
	return !d.Exclusive() || d.Status.ClaimedBy != nil && d.Status.ClaimedBy.UID == vm.UID
}

// canBeHere says whether the host can have the disk: it is at home here, or in a
// store that this host has too.
func (k *Keeper) canBeHere(d *v1alpha1.VirtualDisk) bool {
	if d.Status.NodeName == k.Node {
		return true
	}
	pool, _, ok := k.pools.get(d.Pool())
	return ok && d.Status.NodeName != "" && d.Status.Store != "" && pool.Store == d.Status.Store && !d.Exclusive()
}

// other is who has the disk to itself besides the VM, in words; empty when nobody.
func (k *Keeper) other(ctx context.Context, d *v1alpha1.VirtualDisk, vm *v1alpha1.VirtualMachine) string {
	if !d.Exclusive() {
		return ""
	}
	users := k.Guests.Users(ctx, d)
	at := slices.IndexFunc(users, func(u User) bool { return (u.Running || u.Saved) && u.DomainUUID != vm.DomainUUID() })
	if at < 0 {
		return ""
	}
	return users[at].VM
}

// why is what the disk's host says of it.
func why(d *v1alpha1.VirtualDisk) string {
	for i := range d.Status.Conditions {
		if c := &d.Status.Conditions[i]; c.Type == v1alpha1.ConditionDiskReady && c.Message != "" {
			return c.Message
		}
	}
	return "its host has not made it yet"
}
