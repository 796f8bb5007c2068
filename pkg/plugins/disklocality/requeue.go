package disklocality

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/podless"
)

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// EventsToRegister implements framework.EnqueueExtensions: a VM that waits for its
// disks, or for room for them, is tried again when one of them, or one that one
// of them copies, appears or changes; when a disk is gone that took room of a pool
// that it wants; when a host's pools come to have more; and when the VM that has
// one of its disks gives its host up, or one does not get the room that it was promised.
func (p *plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: Resource, ActionType: fwk.Add | fwk.Update | fwk.Delete}, QueueingHintFn: p.afterDiskChanged},
		{Event: fwk.ClusterEvent{Resource: fleet.Resource, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: p.afterHostDescribed},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}, QueueingHintFn: p.afterVMLeft},
	}, nil
}

// afterDiskChanged queues when the disk is one that the VM waits for, or has left
// room in a pool that it wants.
func (p *plugin) afterDiskChanged(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	names, err := podless.DisksOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	changed, gone := newObj, false
	if newObj == nil {
		changed, gone = oldObj, true
	}
	disk, ok := changed.(*v1alpha1.VirtualDisk)
	if !ok {
		return fwk.Queue, fmt.Errorf("expected a VirtualDisk that changed, got %T", changed)
	}
	d := p.disks
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, name := range names {
		own := d.disks[key(pod.Namespace, name)]
		if disk.Namespace == pod.Namespace && (disk.Name == name || own != nil && own.CopyOf() == disk.Name) {
			if old, ok := oldObj.(*v1alpha1.VirtualDisk); ok && !gone && same(old, disk) {
				continue
			}
			return fwk.Queue, nil
		}
		if gone && own != nil && own.Status.NodeName == "" && own.Pool() == disk.Pool() {
			return fwk.Queue, nil
		}
	}
	logger.V(5).Info("VirtualDisk changed and is nothing to this VM", "pod", klog.KObj(pod), "virtualDisk", klog.KObj(disk))
	return fwk.QueueSkip, nil
}

// same says whether nothing has changed that a VM could be placed by.
func same(a, b *v1alpha1.VirtualDisk) bool {
	return a.UID == b.UID && (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) && a.Claim() == b.Claim() &&
		a.Status.NodeName == b.Status.NodeName && a.Status.Store == b.Status.Store && a.Status.VolumeName == b.Status.VolumeName &&
		(a.Status.MoveTo == nil) == (b.Status.MoveTo == nil) &&
		(a.Status.ClaimedBy == nil) == (b.Status.ClaimedBy == nil) && (a.Status.ClaimedBy == nil || *a.Status.ClaimedBy == *b.Status.ClaimedBy)
}

// afterHostDescribed queues when one of the host's pools that the VM wants has
// appeared or has more.
func (p *plugin) afterHostDescribed(logger klog.Logger, pod *corev1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	names, err := podless.DisksOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	now, err := fleet.AsHypervisor(newObj)
	if err != nil {
		return fwk.Queue, err
	}
	before, _ := oldObj.(*v1alpha1.Hypervisor)
	p.disks.mu.RLock()
	defer p.disks.mu.RUnlock()
	for _, name := range names {
		disk := p.disks.disks[key(pod.Namespace, name)]
		if disk == nil {
			continue
		}
		pool := poolOf(now, disk.Pool())
		if pool == nil {
			continue
		}
		if before == nil {
			return fwk.Queue, nil
		}
		if was := poolOf(before, disk.Pool()); was == nil || was.Store != pool.Store || was.Allocatable < pool.Allocatable {
			return fwk.Queue, nil
		}
	}
	logger.V(5).Info("Hypervisor changed and has no more room for this VM's disks", "pod", klog.KObj(pod), "hypervisor", klog.KObj(now))
	return fwk.QueueSkip, nil
}

// afterVMLeft queues when the VM that left has a disk in common with this one, or was
// promised room for a disk that has no home after all, in a pool that this one wants.
func (p *plugin) afterVMLeft(logger klog.Logger, pod *corev1.Pod, oldObj, _ any) (fwk.QueueingHint, error) {
	left, isVM, err := fleet.AsLeft(oldObj)
	if err != nil {
		return fwk.Queue, err
	}
	if !isVM {
		return fwk.QueueSkip, nil
	}
	mine, err := podless.DisksOf(pod)
	if err != nil {
		return fwk.Queue, err
	}
	its, err := podless.DisksOf(left)
	if err != nil {
		return fwk.Queue, err
	}
	if left.Namespace == pod.Namespace && slices.ContainsFunc(its, func(name string) bool { return slices.Contains(mine, name) }) {
		return fwk.Queue, nil
	}
	p.disks.mu.RLock()
	defer p.disks.mu.RUnlock()
	// Most VMs that leave free no room: then this one's disks are not looked at.
	if freed := p.disks.poolsFor(left.Namespace, its); len(freed) > 0 &&
		slices.ContainsFunc(p.disks.poolsFor(pod.Namespace, mine), func(pool string) bool { return slices.Contains(freed, pool) }) {
		return fwk.Queue, nil
	}
	logger.V(5).Info("VM left a host and had none of this VM's disks, nor room that it wants", "pod", klog.KObj(pod), "left", klog.KObj(left))
	return fwk.QueueSkip, nil
}

// poolsFor are the pools that those of the disks want room of that have no home; mu is
// held for reading.
func (d *Disks) poolsFor(namespace string, names []string) (pools []string) {
	for _, name := range names {
		if disk := d.disks[key(namespace, name)]; disk != nil && disk.Status.NodeName == "" {
			pools = append(pools, disk.Pool())
		}
	}
	return pools
}
