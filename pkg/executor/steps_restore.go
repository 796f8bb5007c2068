package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// restoreStep carries out a step of a restore.
func (a *Agent) restoreStep(ctx context.Context, step plan.Step, w *work, in *plan.Situation) error {
	r := in.Restore
	switch step {
	case plan.StepBeginRestore:
		if r.Memory {
			if _, why, err := a.memoryOf(ctx, in); err != nil || why != "" {
				if err != nil {
					return err
				}
				return a.concludeInTurn(ctx, in.VM, plan.Failed(v1alpha1.ReasonSnapshotUnusable, "%s", why))
			}
		}
		return a.snapshots.Begin(ctx, in.VM, r, startsAfter(in))
	case plan.StepStartFromMemory:
		return a.startFromMemory(ctx, w, in)
	}
	w.memory.Failures, w.memory.RetryAt = 0, time.Time{}
	return a.snapshots.Finish(ctx, client.ObjectKeyFromObject(in.VM), r.Snapshot)
}

// startsAfter says whether the guest is to be started after a restore: it goes on
// from its memory, or it runs now, or would be started by itself.
func startsAfter(in *plan.Situation) bool {
	if plan.RestartBarred(in.VM) != "" {
		return false
	}
	active := in.Domain != nil && (in.Domain.State.Active() || in.Domain.Saved)
	return in.Restore.Memory || active || plan.StartsAgain(in.VM.Spec.RunPolicy, v1alpha1.ReasonGuestShutDown)
}

// memoryOf reads the domain that the snapshot's memory is of, made the VM's present
// binding's; or says why the guest cannot go on from it. It goes on as it was, and
// what the VM's spec says since it has from its next start.
func (a *Agent) memoryOf(ctx context.Context, in *plan.Situation) (xml, why string, err error) {
	r, p := in.Restore, in.VM.Status.Placement
	const remedy = ", or set restore.withoutMemory to boot from its disks"
	m := r.Snapshot.Status.MemoryVolume
	was, err := a.host.Memory(ctx, m.PoolName, m.VolumeName)
	if errors.Is(err, libvirt.ErrNoMemory) {
		return "", fmt.Sprintf("the memory in VirtualMachineSnapshot %s cannot be read on %s: put file %s back into storage pool %s", r.Snapshot.Name, in.Node, m.VolumeName, m.PoolName) + remedy, nil
	}
	if err != nil {
		return "", "", err
	}
	metadata, err := libvirt.Metadata(was)
	if err != nil {
		return "", "", err
	}
	mark, owned, err := convert.ParseOwnership(metadata)
	switch {
	case err != nil || !owned || mark.Owner.UID != in.VM.UID || mark.ClusterID != a.clusterID:
		return "", fmt.Sprintf("the memory in VirtualMachineSnapshot %s is not of this VirtualMachine", r.Snapshot.Name) + remedy, nil
	case !covers(p.Granted, mark.Granted):
		return "", fmt.Sprintf("the guest had %d vCPUs and %d bytes of memory in VirtualMachineSnapshot %s, and the VirtualMachine is granted less now: set spec.resources as it was", mark.Granted.CPU, mark.Granted.Memory, r.Snapshot.Name) + remedy, nil
	case !samePlace(mark.Placement(in.Node), *p):
		return "", fmt.Sprintf("the guest had other NUMA cells, CPUs or devices of the host in VirtualMachineSnapshot %s", r.Snapshot.Name) + remedy, nil
	}
	if why, err := strangeDisk(in, was); err != nil || why != "" {
		return "", why + remedy, err
	}
	mark.Owner, mark.Operation = in.VM.Owner(), r.Operation
	xml, err = convert.ReplaceOwnership(was, mark)
	return xml, "", err
}

// strangeDisk says which VirtualDisk of the guest that the memory is of is not the
// VM's now, or was written by it and is not in the snapshot; empty when none.
func strangeDisk(in *plan.Situation, was string) (string, error) {
	all, written, err := libvirt.VolumesIn(was)
	if err != nil {
		return "", err
	}
	s := in.Restore.Snapshot
	for _, v := range all {
		if !strings.Contains(v.Name, v1alpha1.VolumeMark) || slices.ContainsFunc(s.Status.Disks, func(d v1alpha1.SnapshotDisk) bool {
			return v == libvirt.VolumeRef{Pool: d.PoolName, Name: d.VolumeName}
		}) {
			continue
		}
		if slices.Contains(written, v) {
			return fmt.Sprintf("the guest wrote volume %s too, which is not in VirtualMachineSnapshot %s, and may have been written since", v.Name, s.Name), nil
		}
		given := false
		for _, now := range in.Disks.Volumes {
			given = given || v == libvirt.VolumeRef{Pool: now.Pool, Name: now.Name}
		}
		if !given {
			return fmt.Sprintf("the guest had volume %s in VirtualMachineSnapshot %s, whose VirtualDisk it cannot have now: name it in spec.disks again", v.Name, s.Name), nil
		}
	}
	return "", nil
}

// samePlace says whether two placements give the guest the same of the host.
func samePlace(a, b v1alpha1.Placement) bool {
	return equality.Semantic.DeepEqual(a.Cells, b.Cells) && equality.Semantic.DeepEqual(a.Devices, b.Devices)
}

// startFromMemory has the guest go on from the snapshot's memory. Where it cannot,
// the restore is over all the same: the disks are back.
func (a *Agent) startFromMemory(ctx context.Context, w *work, in *plan.Situation) error {
	r, uuid := in.Restore, in.VM.DomainUUID()
	xml, why, err := a.memoryOf(ctx, in)
	if err != nil {
		return err
	}
	if why == "" {
		a.registry.goOn(uuid)
		if err := a.clear(ctx, in); err != nil {
			return err
		}
		m := r.Snapshot.Status.MemoryVolume
		err := a.host.StartFromMemory(ctx, uuid, m.PoolName, m.VolumeName, xml)
		if err == nil {
			wake(a.pinsChanged)
			w.memory.Expected, w.memory.StartedAt, w.memory.CannotGoOn = true, time.Time{}, ""
			a.tell.restored(in.VM)
			return nil
		}
		if errors.Is(err, libvirt.ErrTimeout) || errors.Is(err, libvirt.ErrUnavailable) {
			return err // it may yet start
		}
		a.registry.end(uuid)
		why = "libvirt cannot have the guest go on from the memory: " + err.Error()
	}
	if err := a.snapshots.Finish(ctx, client.ObjectKeyFromObject(in.VM), r.Snapshot); err != nil {
		return err
	}
	return a.concludeInTurn(ctx, in.VM, plan.Failed(v1alpha1.ReasonSnapshotUnusable, "the disks are as in VirtualMachineSnapshot %s, and the guest boots from them if spec.powerState says so: %s", r.Snapshot.Name, why))
}

// snapshotChanged asks for a look at the snapshots of a VM, one of which changed; its
// turn may wait for one.
func (a *Agent) snapshotChanged(s *v1alpha1.VirtualMachineSnapshot) {
	key := types.NamespacedName{Namespace: s.Namespace, Name: s.Spec.VirtualMachineName}
	a.snapshots.Enqueue(key)
	a.volumes.Stir() // a disk that is deleted waits for the snapshots that it is in
	if s.Status.Restoring != nil {
		a.queue.Add(key)
	}
}
