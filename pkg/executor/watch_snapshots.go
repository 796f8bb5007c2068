package executor

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// watchSnapshots tells the agent of the snapshots on the host. When all have been
// read all get turns once more, and VMs, which have waited for it.
func (w *Watch) watchSnapshots(ctx context.Context, a *Agent) error {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualMachineSnapshot{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching VirtualMachineSnapshots: %w", err)
	}
	told := func(obj any) {
		if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if s, ok := obj.(*v1alpha1.VirtualMachineSnapshot); ok {
			a.snapshotChanged(s)
		}
	}
	heard, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: told, DeleteFunc: told, UpdateFunc: func(_, obj any) { told(obj) },
	})
	if err != nil {
		return fmt.Errorf("watching VirtualMachineSnapshots: %w", err)
	}
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), heard.HasSynced) {
			list := &v1alpha1.VirtualMachineSnapshotList{}
			if w.cache.List(ctx, list) == nil {
				for i := range list.Items {
					a.snapshotChanged(&list.Items[i])
				}
			}
			for _, key := range a.vms.List(ctx) {
				a.queue.Add(key)
			}
		}
	}()
	return nil
}

// SnapshotsOf implements snapshots.Snapshots.
func (w *Watch) SnapshotsOf(ctx context.Context, vm types.NamespacedName) ([]*v1alpha1.VirtualMachineSnapshot, bool) {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualMachineSnapshot{}, cache.BlockUntilSynced(false))
	if err != nil || !informer.HasSynced() {
		return nil, false
	}
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if w.cache.List(ctx, list, client.InNamespace(vm.Namespace)) != nil {
		return nil, false
	}
	var out []*v1alpha1.VirtualMachineSnapshot
	for i := range list.Items {
		if list.Items[i].Spec.VirtualMachineName == vm.Name {
			out = append(out, &list.Items[i])
		}
	}
	return out, true
}
