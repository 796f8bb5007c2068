package disklocality

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/podless"
)

// Reserve implements framework.ReservePlugin: from here on the VM's disks are its
// own, and what is to be made of them has its space.
func (p *plugin) Reserve(_ context.Context, cs fwk.CycleState, pod *corev1.Pod, nodeName string) *fwk.Status {
	names, err := podless.DisksOf(pod)
	if err != nil {
		return fwk.AsStatus(err)
	}
	if len(names) == 0 {
		return nil
	}
	vm, ok := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	if !ok {
		return fwk.AsStatus(podless.ErrRealPod)
	}
	hv := p.fleet.Hypervisor(nodeName)
	if hv == nil {
		return fwk.NewStatus(fwk.Unschedulable, "host "+nodeName+" has no Hypervisor")
	}
	d := p.disks
	d.mu.Lock()
	defer d.mu.Unlock()
	// All may have changed since Filter looked at it.
	demand, why := d.demandOf(pod.UID, vm, names)
	switch {
	case why != "":
		return fwk.NewStatus(fwk.Unschedulable, why)
	case demand.node != "" && demand.node != nodeName:
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("its disks are on host %s by now", demand.node))
	}
	if words := d.lacks(demand, hv); words != nil {
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("host %s: %s", nodeName, words[0]))
	}
	d.promise(pod.UID, vm.Name, demand, hv)
	return nil
}

// Unreserve implements framework.ReservePlugin.
func (p *plugin) Unreserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, _ string) {
	if podless.DisksTextOf(pod) != "" {
		p.disks.ended(pod.UID, false)
	}
}

// Bind implements framework.BindPlugin: it stores where the home of the VM's disks
// is and that they are the VM's, and leaves the binding itself to the next
// plugin. If that fails, or this process ends before, the disks have a home that
// pulls their VM there.
func (p *plugin) Bind(ctx context.Context, _ fwk.CycleState, pod *corev1.Pod, nodeName string) *fwk.Status {
	names, err := podless.DisksOf(pod)
	if err != nil {
		return fwk.AsStatus(err)
	}
	if len(names) == 0 {
		return fwk.NewStatus(fwk.Skip)
	}
	vm, ok := podless.ParsePod(pod.Namespace, pod.Name, pod.UID)
	if !ok {
		return fwk.AsStatus(podless.ErrRealPod)
	}
	hv := p.fleet.Hypervisor(nodeName)
	if hv == nil {
		return fwk.AsStatus(fmt.Errorf("giving VirtualMachine %s/%s its disks: host %s has no Hypervisor any more", vm.Namespace, vm.Name, nodeName))
	}
	for _, name := range names {
		if err := p.disks.bind(ctx, pod.UID, vm, name, hv); err != nil {
			return fwk.AsStatus(fmt.Errorf("giving VirtualMachine %s/%s its disk: %w", vm.Namespace, vm.Name, err))
		}
	}
	return fwk.NewStatus(fwk.Skip)
}

// bind stores home and claim of one disk that is promised to pod by.
func (d *Disks) bind(ctx context.Context, by types.UID, vm podless.Identity, name string, hv *v1alpha1.Hypervisor) error {
	disk, home, held, err := d.begin(by, vm, name, hv)
	if err != nil {
		return err
	}
	var claim *v1alpha1.DiskClaim
	if disk.Exclusive() {
		claim = &v1alpha1.DiskClaim{Name: vm.Name, UID: vm.UID}
	}
	err = d.writer.ClaimDisk(ctx, disk, home, claim)
	if err != nil && !errors.Is(err, diskstatus.ErrUnknown) {
		d.failed(disk.UID, held)
	}
	return err
}

// begin is what bind is to write, of the disk as it is seen now: all may have changed
// since Reserve looked at it, and what is stored is guarded by what is seen here. held
// is the promise that the write is counted in; nil for a disk that has a home.
func (d *Disks) begin(by types.UID, vm podless.Identity, name string, hv *v1alpha1.Hypervisor) (disk *v1alpha1.VirtualDisk, home v1alpha1.DiskHome, held *promise, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if disk = d.disks[key(vm.Namespace, name)]; disk == nil {
		return nil, home, nil, fmt.Errorf("VirtualDisk %s is gone", name)
	}
	if why := d.refuses(disk, name, by, vm); why != "" {
		return nil, home, nil, errors.New(why)
	}
	held = d.promises[disk.UID]
	if !stands(held, by, disk, hv) {
		return nil, home, nil, fmt.Errorf("VirtualDisk %s has been given to another VM meanwhile, or has been created anew", name)
	}
	home, ok := homeAt(disk, hv)
	if !ok {
		return nil, home, nil, fmt.Errorf("host %s has no storage pool %s any more", hv.Name, disk.Pool())
	}
	if disk.Status.NodeName != "" {
		return disk, home, nil, nil
	}
	held.writes++
	return disk, home, held, nil
}

// failed notes that nothing was stored of what held is for.
func (d *Disks) failed(disk types.UID, held *promise) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if held == nil || d.promises[disk] != held || held.writes == 0 {
		return
	}
	if held.writes--; held.writes == 0 && held.vm == "" {
		d.drop(disk) // its VM has gone meanwhile
	}
}

// stands says whether what Reserve promised pod by is still so: the disk may be
// another one of the same name by now, or have got a home through another VM.
func stands(held *promise, by types.UID, disk *v1alpha1.VirtualDisk, hv *v1alpha1.Hypervisor) bool {
	switch {
	case disk.Exclusive():
		return held != nil && held.vm == by && held.node == hv.Name && (disk.Status.NodeName == "" || canUse(hv, disk))
	case disk.Status.NodeName == "":
		return held != nil && held.node == hv.Name
	}
	return canUse(hv, disk)
}

// canUse says whether the host can use the disk, which has a home, as it is there.
func canUse(hv *v1alpha1.Hypervisor, disk *v1alpha1.VirtualDisk) bool {
	return disk.Status.NodeName == hv.Name || disk.Status.VolumeName != "" && hasStoreOf(hv, disk)
}

// homeAt is the disk's home once its VM is on the host: where it is, or, for one
// in a store that the host has too, the host.
func homeAt(disk *v1alpha1.VirtualDisk, hv *v1alpha1.Hypervisor) (v1alpha1.DiskHome, bool) {
	s := &disk.Status
	if s.NodeName != "" && (s.Store == "" || !disk.Exclusive() || s.NodeName == hv.Name) {
		return v1alpha1.DiskHome{NodeName: s.NodeName, PoolName: s.PoolName, Store: s.Store}, true
	}
	p := poolOf(hv, disk.Pool())
	if p == nil {
		return v1alpha1.DiskHome{}, false
	}
	return v1alpha1.DiskHome{NodeName: hv.Name, PoolName: p.Name, Store: p.Store}, true
}
