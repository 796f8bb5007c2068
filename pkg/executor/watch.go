package executor

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Watch watches what concerns one host: the VMs bound to it, the operations given
// to it, the disks at home on it, its Node and its Hypervisor; and all images and
// VirtualNetworks, which are few and seldom change. It implements VMs, Operations,
// volumes.Disks, images.Images and networks.VirtualNetworks.
type Watch struct {
	cache cache.Cache
}

// NewWatch prepares a watch of the host node's objects; Run starts it. live reads from
// the API server itself.
func NewWatch(config *rest.Config, scheme *runtime.Scheme, live client.Reader, node string) (*Watch, error) {
	itself := fields.OneTermEqualSelector("metadata.name", node)
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &forward{next: next, revision: revisionBy(live, node)}
	})
	c, err := cache.New(config, cache.Options{
		Scheme:           scheme,
		Mapper:           newMapper(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.VirtualMachine{}: {Field: fields.OneTermEqualSelector("status.placement.nodeName", node)},
			&v1alpha1.VirtualMachineOperation{}: {
				Field:     fields.OneTermEqualSelector("status.nodeName", node),
				Transform: withoutResults,
			},
			&v1alpha1.VirtualDisk{}:            {Field: fields.OneTermEqualSelector("status.nodeName", node)},
			&v1alpha1.VirtualMachineSnapshot{}: {Field: fields.OneTermEqualSelector("status.nodeName", node)},
			&v1alpha1.VirtualNetwork{}:         {Transform: withoutStatus},
			&v1alpha1.TransferTicket{}:         {Field: fields.OneTermEqualSelector("spec.nodeName", node)},
			&v1alpha1.Hypervisor{}:             {Field: itself},
			&corev1.Node{}:                     {Field: itself},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the watch of host %s: %w", node, err)
	}
	return &Watch{cache: c}, nil
}

// Run watches until ctx ends and wakes the agent. An API server that is away is
// tried again for as long as it takes.
func (w *Watch) Run(ctx context.Context, a *Agent) error {
	vms, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualMachine{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching VirtualMachines: %w", err)
	}
	if _, err := vms.AddEventHandler(whenever(func(key types.NamespacedName) { a.Enqueue(key) })); err != nil {
		return fmt.Errorf("watching VirtualMachines: %w", err)
	}
	operations, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualMachineOperation{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching VirtualMachineOperations: %w", err)
	}
	given, err := operations.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, _ bool) { enqueueOperation(a, o) },
		UpdateFunc: func(_, o any) { enqueueOperation(a, o) },
		// One that is deleted is under way no more.
		DeleteFunc: func(o any) { enqueueOperation(a, o) },
	})
	if err != nil {
		return fmt.Errorf("watching VirtualMachineOperations: %w", err)
	}
	go w.lookAtOperations(ctx, a, given)
	disks, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualDisk{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching VirtualDisks: %w", err)
	}
	heard, err := disks.AddEventHandler(whenever(func(key types.NamespacedName) {
		a.volumes.Enqueue(key)
		a.diskChanged(key)
	}))
	if err != nil {
		return fmt.Errorf("watching VirtualDisks: %w", err)
	}
	networks, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualNetwork{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching VirtualNetworks: %w", err)
	}
	if _, err := networks.AddEventHandler(whenever(a.networkHeard)); err != nil {
		return fmt.Errorf("watching VirtualNetworks: %w", err)
	}
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), heard.HasSynced) {
			a.volumes.Look() // which needs all of them
		}
	}()
	if err := w.followImages(ctx, a); err != nil {
		return err
	}
	if err := w.watchSnapshots(ctx, a); err != nil {
		return err
	}
	if a.tickets != nil {
		informer, err := w.cache.GetInformer(ctx, &v1alpha1.TransferTicket{}, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching TransferTickets: %w", err)
		}
		if _, err := informer.AddEventHandler(whenever(a.tickets.Enqueue)); err != nil {
			return fmt.Errorf("watching TransferTickets: %w", err)
		}
	}
	for _, o := range []client.Object{&corev1.Node{}, &v1alpha1.Hypervisor{}} {
		informer, err := w.cache.GetInformer(ctx, o, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching the host's own objects: %w", err)
		}
		if _, err := informer.AddEventHandler(whenever(func(types.NamespacedName) { a.wakeHost() })); err != nil {
			return fmt.Errorf("watching the host's own objects: %w", err)
		}
	}
	if err := w.cache.Start(ctx); err != nil {
		return fmt.Errorf("watching: %w", err)
	}
	return nil
}

// whenever calls f with the name of whatever appears, changes or goes.
func whenever(f func(types.NamespacedName)) toolscache.ResourceEventHandler {
	named := func(obj any) {
		if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if o, ok := obj.(client.Object); ok {
			f(client.ObjectKeyFromObject(o))
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: named, DeleteFunc: named, UpdateFunc: func(_, obj any) { named(obj) },
	}
}

// Get implements VMs.
func (w *Watch) Get(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{}
	if !w.cache.WaitForCacheSync(ctx) || w.cache.Get(ctx, key, vm) != nil {
		return nil
	}
	return vm
}

// List implements VMs. VMs that the watch does not have yet will be enqueued
// when it has them.
func (w *Watch) List(ctx context.Context) []types.NamespacedName {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualMachine{}, cache.BlockUntilSynced(false))
	if err != nil || !informer.HasSynced() {
		return nil
	}
	list := &v1alpha1.VirtualMachineList{}
	if w.cache.List(ctx, list) != nil {
		return nil
	}
	var keys []types.NamespacedName
	for i := range list.Items {
		keys = append(keys, client.ObjectKeyFromObject(&list.Items[i]))
	}
	return keys
}

// VMsRead says whether all VMs that are bound here have been read.
func (w *Watch) VMsRead() bool {
	informer, err := w.cache.GetInformer(context.Background(), &v1alpha1.VirtualMachine{}, cache.BlockUntilSynced(false))
	return err == nil && informer.HasSynced()
}

// Of implements Operations. Those that the watch does not have yet will be
// enqueued when it has them.
func (w *Watch) Of(ctx context.Context, vm types.NamespacedName) []*v1alpha1.VirtualMachineOperation {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualMachineOperation{}, cache.BlockUntilSynced(false))
	if err != nil || !informer.HasSynced() {
		return nil
	}
	list := &v1alpha1.VirtualMachineOperationList{}
	if w.cache.List(ctx, list, client.InNamespace(vm.Namespace)) != nil {
		return nil
	}
	var out []*v1alpha1.VirtualMachineOperation
	for i := range list.Items {
		if list.Items[i].Spec.VirtualMachineName == vm.Name {
			out = append(out, &list.Items[i])
		}
	}
	return out
}

// Disk implements volumes.Disks.
func (w *Watch) Disk(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualDisk {
	disk := &v1alpha1.VirtualDisk{}
	if !w.cache.WaitForCacheSync(ctx) || w.cache.Get(ctx, key, disk) != nil {
		return nil
	}
	return disk
}

// Disks implements volumes.Disks.
func (w *Watch) Disks(ctx context.Context) ([]*v1alpha1.VirtualDisk, bool) {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VirtualDisk{}, cache.BlockUntilSynced(false))
	if err != nil || !informer.HasSynced() {
		return nil, false
	}
	list := &v1alpha1.VirtualDiskList{}
	if w.cache.List(ctx, list) != nil {
		return nil, false
	}
	out := make([]*v1alpha1.VirtualDisk, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out, true
}

// Network implements networks.VirtualNetworks.
func (w *Watch) Network(ctx context.Context, key types.NamespacedName) *v1alpha1.VirtualNetwork {
	network := &v1alpha1.VirtualNetwork{}
	if !w.cache.WaitForCacheSync(ctx) || w.cache.Get(ctx, key, network) != nil {
		return nil
	}
	return network
}

// withoutStatus keeps of a VirtualNetwork what a host makes it of.
func withoutStatus(obj any) (any, error) {
	if n, ok := obj.(*v1alpha1.VirtualNetwork); ok {
		n.ManagedFields, n.Status = nil, v1alpha1.VirtualNetworkStatus{Definition: n.Status.Definition}
	}
	return obj, nil
}

// lookAtOperations tells of all operations once they have been read: who was told of
// one before that may not have found it yet.
func (w *Watch) lookAtOperations(ctx context.Context, a *Agent, given toolscache.ResourceEventHandlerRegistration) {
	list := &v1alpha1.VirtualMachineOperationList{}
	if !toolscache.WaitForCacheSync(ctx.Done(), given.HasSynced) || w.cache.List(ctx, list) != nil {
		return
	}
	for i := range list.Items {
		a.operationChanged(&list.Items[i])
	}
}

// enqueueOperation tells of an operation.
func enqueueOperation(a *Agent, obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if op, ok := obj.(*v1alpha1.VirtualMachineOperation); ok {
		a.operationChanged(op)
	}
}

// withoutResults keeps of an operation what tells whether to look at it: it is
// read anew before it is carried out, and neither a picture nor a password's
// hash need lie in memory meanwhile.
func withoutResults(obj any) (any, error) {
	if op, ok := obj.(*v1alpha1.VirtualMachineOperation); ok {
		op.ManagedFields, op.Annotations = nil, nil
		op.Status.Screenshot, op.Spec.SetPassword, op.Spec.InjectSSHKey = nil, nil, nil
	}
	return obj, nil
}
