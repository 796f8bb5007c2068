package snapshot

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/snapshotstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// byVM is the cache's index of snapshots by the name of their VM.
const byVM = "spec.virtualMachineName"

// Controller gives snapshots to hosts.
type Controller struct {
	cached client.Reader
	live   client.Client
	clock  clock.PassiveClock
}

// New returns a Controller that reads from cached and writes with live, which must
// not be cached. Register gives the cache the index that it needs.
func New(cached client.Reader, live client.Client, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, clock: clk}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	index := func(o client.Object) []string {
		return []string{o.(*v1alpha1.VirtualMachineSnapshot).Spec.VirtualMachineName}
	}
	if err := m.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.VirtualMachineSnapshot{}, byVM, index); err != nil {
		return fmt.Errorf("indexing snapshots: %w", err)
	}
	return ctrl.NewControllerManagedBy(m).Named("vm-snapshot").
		For(&v1alpha1.VirtualMachineSnapshot{}).
		Watches(&v1alpha1.VirtualMachine{}, handler.EnqueueRequestsFromMapFunc(c.ofVM)).
		Complete(c)
}

// ofVM wakes the snapshots that wait for their VM.
func (c *Controller) ofVM(ctx context.Context, vm client.Object) []reconcile.Request {
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if c.cached.List(ctx, list, client.InNamespace(vm.GetNamespace()), client.MatchingFields{byVM: vm.GetName()}) != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		if s := &list.Items[i]; s.Status.NodeName == "" && s.Status.Phase != v1alpha1.SnapshotFailed {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(s)})
		}
	}
	return out
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	in := situation{snapshot: &v1alpha1.VirtualMachineSnapshot{}, now: c.clock.Now()}
	if err := c.cached.Get(ctx, req.NamespacedName, in.snapshot); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if in.snapshot.Status.NodeName != "" {
		return reconcile.Result{}, nil
	}
	// What is refused is refused for good: the VM is read as it is.
	vm := &v1alpha1.VirtualMachine{}
	err := c.live.Get(ctx, types.NamespacedName{Namespace: req.Namespace, Name: in.snapshot.Spec.VirtualMachineName}, vm)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading the VirtualMachine of VirtualMachineSnapshot %s: %w", req.NamespacedName, err)
	default:
		in.vm = vm
		if in.home, err = c.home(ctx, vm); err != nil {
			return reconcile.Result{}, err
		}
	}
	d := decide(in)
	if d.status != nil {
		_, err := snapshotstatus.Write(ctx, c.live, in.snapshot, func(s *v1alpha1.VirtualMachineSnapshotStatus) { *s = *d.status })
		if errors.Is(err, snapshotstatus.ErrStale) {
			return reconcile.Result{RequeueAfter: lookAgain}, nil // what is newer wakes this by itself
		}
		if client.IgnoreNotFound(err) != nil {
			return reconcile.Result{}, err
		}
	}
	return reconcile.Result{RequeueAfter: d.after}, nil
}

// home is the host of the first disk of the VM that has one.
func (c *Controller) home(ctx context.Context, vm *v1alpha1.VirtualMachine) (string, error) {
	for i := range vm.Spec.Disks {
		disk := &v1alpha1.VirtualDisk{}
		err := c.cached.Get(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: vm.Spec.Disks[i].DiskName}, disk)
		if client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("reading VirtualDisk %s/%s: %w", vm.Namespace, vm.Spec.Disks[i].DiskName, err)
		}
		if err == nil && vm.Spec.Disks[i].MayWrite() && disk.Exclusive() && disk.Status.NodeName != "" {
			return disk.Status.NodeName, nil
		}
	}
	return "", nil
}
