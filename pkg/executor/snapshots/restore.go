package snapshots

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/snapshotstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Restoration is a restore of a VM as its turn sees it.
type Restoration struct {
	// Snapshot is what the VM is restored to; nil when there is none of the name.
	Snapshot *v1alpha1.VirtualMachineSnapshot
	// Unknown says that it is not known yet whether there is one.
	Unknown bool
	// Refusal says why it cannot be; empty when it may, or has begun.
	Refusal string
	// Operation is the one that asks for it.
	Operation types.UID
	// Asked says that the operation is there; DiscardRunning and WithoutMemory are its.
	Asked, DiscardRunning, WithoutMemory bool
	// Begun, DisksDone and Over say how far it has come.
	Begun, DisksDone, Over bool
	// Start says that the guest is to be started afterwards, and Memory from the
	// snapshot's memory.
	Start, Memory bool
}

// Restoration looks at the restore that op asks for, or at one that has begun; nil
// when there is none. op may be nil.
func (k *Keeper) Restoration(ctx context.Context, vm *v1alpha1.VirtualMachine, op *v1alpha1.VirtualMachineOperation) (*Restoration, error) {
	if op != nil && op.Spec.Restore != nil {
		return k.asked(ctx, vm, op)
	}
	if k.Snapshots == nil {
		return nil, nil
	}
	key := client.ObjectKeyFromObject(vm)
	known, all := k.Snapshots.SnapshotsOf(ctx, key)
	if !all && len(vm.Spec.Disks) > 0 {
		return &Restoration{Unknown: true}, nil
	}
	for _, s := range known {
		if s.Status.Restoring == nil && !k.restores(key, s.UID) {
			continue
		}
		live, err := k.read(ctx, client.ObjectKeyFromObject(s))
		if err != nil {
			return nil, err
		}
		if live == nil || live.Status.Restoring == nil {
			k.restored(key, s.UID)
			continue
		}
		return begun(live), nil
	}
	return nil, nil
}

func begun(s *v1alpha1.VirtualMachineSnapshot) *Restoration {
	r := s.Status.Restoring
	return &Restoration{Snapshot: s, Operation: r.OperationUID, Begun: true, DisksDone: r.DisksDone, Start: r.Start, Memory: r.Memory}
}

func (k *Keeper) asked(ctx context.Context, vm *v1alpha1.VirtualMachine, op *v1alpha1.VirtualMachineOperation) (*Restoration, error) {
	want := op.Spec.Restore
	s, err := k.read(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: want.SnapshotName})
	if err != nil {
		return nil, err
	}
	r := &Restoration{Snapshot: s}
	switch {
	case s != nil && s.Status.Restoring != nil && s.Status.Restoring.OperationUID == op.UID:
		r = begun(s)
	case s != nil && s.Status.RestoredBy == op.UID:
		r.Over = true
	default:
		objects, err := k.disks(ctx, vm)
		if err != nil {
			return nil, err
		}
		r.Refusal = unusable(k.Node, s, vm, want, objects)
		r.Memory = s != nil && s.Status.MemoryVolume != nil && !want.WithoutMemory
	}
	r.Operation, r.Asked = op.UID, true
	r.DiscardRunning, r.WithoutMemory = want.DiscardRunning, want.WithoutMemory
	return r, nil
}

// unusable says why the VM cannot be restored to the snapshot; "" when it can.
func unusable(node string, s *v1alpha1.VirtualMachineSnapshot, vm *v1alpha1.VirtualMachine, want *v1alpha1.Restore, objects []Disk) string {
	if s == nil {
		return fmt.Sprintf("there is no VirtualMachineSnapshot %s: see kubectl get vmsnap --namespace %s", want.SnapshotName, vm.Namespace)
	}
	memory := s.Status.MemoryVolume != nil && !want.WithoutMemory
	switch {
	case s.Spec.VirtualMachineName != vm.Name:
		return fmt.Sprintf("VirtualMachineSnapshot %s is of VirtualMachine %s", s.Name, s.Spec.VirtualMachineName)
	case s.DeletionTimestamp != nil:
		return fmt.Sprintf("VirtualMachineSnapshot %s is being deleted", s.Name)
	case s.Status.Restoring != nil:
		return fmt.Sprintf("VirtualMachineSnapshot %s is being restored by another operation: ask again when that is over", s.Name)
	case !Ready(s):
		return fmt.Sprintf("VirtualMachineSnapshot %s is %s: wait until it is Ready, or choose another", s.Name, s.Status.Phase)
	case s.Status.NodeName != node:
		return fmt.Sprintf("VirtualMachineSnapshot %s is on host %s, and the VirtualMachine on %s", s.Name, s.Status.NodeName, node)
	case memory && s.Status.VirtualMachineUID != vm.UID:
		return fmt.Sprintf("the memory in VirtualMachineSnapshot %s is of an earlier VirtualMachine %s: set restore.withoutMemory to boot from its disks", s.Name, vm.Name)
	}
	for _, d := range s.Status.Disks {
		at := slices.IndexFunc(objects, func(o Disk) bool { return o.Spec.DiskName == d.Name })
		switch {
		case at < 0:
			return fmt.Sprintf("VirtualDisk %s is in VirtualMachineSnapshot %s, and not in spec.disks: name it there again", d.Name, s.Name)
		case objects[at].Object == nil || objects[at].Object.UID != d.UID:
			return fmt.Sprintf("VirtualDisk %s is another one than is in VirtualMachineSnapshot %s, whose own is gone: delete the snapshot", d.Name, s.Name)
		case objects[at].Object.Status.ClaimedBy == nil || objects[at].Object.Status.ClaimedBy.UID != vm.UID:
			return fmt.Sprintf("VirtualDisk %s is not the VirtualMachine's to write now", d.Name)
		case objects[at].Copied:
			return fmt.Sprintf("VirtualDisk %s is being copied or exported: ask again when that is over", d.Name)
		}
	}
	return ""
}

// Begin says that the VM is being restored: from then on its guest is not started
// before that is over, whatever ends this process.
func (k *Keeper) Begin(ctx context.Context, vm *v1alpha1.VirtualMachine, r *Restoration, start bool) error {
	key := client.ObjectKeyFromObject(vm)
	k.mu.Lock()
	k.restoring[key] = r.Snapshot.UID
	k.mu.Unlock()
	_, err := snapshotstatus.Write(ctx, k.Live, r.Snapshot, func(s *v1alpha1.VirtualMachineSnapshotStatus) {
		Report{Phase: v1alpha1.SnapshotRestoring, Reason: v1alpha1.ReasonRestoring, Message: broughtBack}.apply(s, r.Snapshot, k.Clock.Now())
		s.Restoring = &v1alpha1.SnapshotRestore{OperationUID: r.Operation, Start: start, Memory: r.Memory}
	})
	k.Enqueue(key)
	return err
}

// broughtBack is what is said of a snapshot whose restore goes on well.
const broughtBack = "the VM is being brought back to it"

// Trouble says what keeps the restore to a snapshot from going on; empty when nothing
// is known to.
func Trouble(s *v1alpha1.VirtualMachineSnapshot) string {
	c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionSnapshotReady)
	if c == nil || c.Reason != v1alpha1.ReasonRestoring || c.Message == broughtBack {
		return ""
	}
	return c.Message
}

// Finish says that a restore is over.
func (k *Keeper) Finish(ctx context.Context, vm types.NamespacedName, s *v1alpha1.VirtualMachineSnapshot) error {
	if err := k.unset(ctx, vm, s); err != nil {
		return err
	}
	now := k.Clock.Now()
	_, err := snapshotstatus.Write(ctx, k.Live, s, func(status *v1alpha1.VirtualMachineSnapshotStatus) {
		if status.Restoring == nil {
			return
		}
		Report{Phase: v1alpha1.SnapshotReady, Reason: v1alpha1.ReasonSnapshotReady, Message: whole}.apply(status, s, now)
		at := metav1.NewTime(wholeSeconds(now))
		status.Current, status.RestoredAt, status.RestoredBy = true, &at, status.Restoring.OperationUID
		status.Restoring = nil
	})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	if err == nil {
		k.restored(vm, s.UID)
		k.Changed(vm)
		k.Enqueue(vm)
	}
	return err
}

// Holding lists the names of the snapshots that have a disk of the namespace. One
// that is being made may be among them. Errors: as the API server said it.
func (k *Keeper) Holding(ctx context.Context, namespace string, disk types.UID) ([]string, error) {
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if err := k.Live.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing the snapshots of namespace %s: %w", namespace, err)
	}
	var out []string
	for i := range list.Items {
		if list.Items[i].HasDisk(disk) && hasFinalizer(&list.Items[i]) {
			out = append(out, list.Items[i].Name)
		}
	}
	return out, nil
}

// revert brings the disks back, which no guest has. One that has not the snapshot
// any more leaves all as they are.
func (k *Keeper) revert(ctx context.Context, key types.NamespacedName, in *Situation) error {
	s := in.Snapshot
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	release, err := k.hold(ctx, key, s)
	if err != nil {
		return err
	}
	defer release()
	for _, v := range volumes(s) {
		if uuid := k.Guests.User(v); uuid != "" {
			return fmt.Errorf("going back to snapshot %s: domain %s has volume %s", s.Name, uuid, v.Name)
		}
		names, err := k.Host.VolumeSnapshots(ctx, v.Pool, v.Name)
		if err != nil && !errors.Is(err, libvirt.ErrNoVolume) {
			return err
		}
		if err != nil || !slices.Contains(names, s.Tag()) {
			return k.lost(ctx, key, s, v)
		}
	}
	if err := k.Host.RevertVolumes(ctx, s.Tag(), volumes(s)); err != nil {
		return err
	}
	k.Recorder.Eventf(s, nil, corev1.EventTypeNormal, eventReverted, "Restore", "Brought %d disks back on %s", len(s.Status.Disks), k.Node)
	_, err = snapshotstatus.Write(ctx, k.Live, s, func(status *v1alpha1.VirtualMachineSnapshotStatus) { status.Restoring.DisksDone = true })
	return err
}

// lost says that the snapshot is not in a disk any more. The restore ends, and has
// changed nothing.
func (k *Keeper) lost(ctx context.Context, key types.NamespacedName, s *v1alpha1.VirtualMachineSnapshot, v libvirt.VolumeRef) error {
	_, err := snapshotstatus.Write(ctx, k.Live, s, func(status *v1alpha1.VirtualMachineSnapshotStatus) {
		Report{Phase: v1alpha1.SnapshotFailed, Reason: v1alpha1.ReasonSnapshotLost, Message: fmt.Sprintf(
			"volume %s of storage pool %s has it no more: the disks were left as they are; delete the snapshot", v.Name, v.Pool)}.apply(status, s, k.Clock.Now())
		status.Restoring = nil
	})
	if err == nil {
		k.restored(key, s.UID)
		k.Changed(key)
	}
	return err
}
