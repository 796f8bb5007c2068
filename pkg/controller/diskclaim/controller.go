package diskclaim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/plugins/disklocality"
)

const (
	// workers bounds the VMs that are given disks at once.
	workers = 2
	// soon is when to look again after something changed meanwhile, and later at a
	// VM that was refused a disk: room may have come.
	soon  = 500 * time.Millisecond
	later = 30 * time.Second
	// byDisk is the cache's index of VMs by the disks that they name.
	byDisk = "disk-claim"
)

// Giver gives disks; disklocality.Disks does.
type Giver interface {
	Give(ctx context.Context, vm *v1alpha1.VirtualMachine, hv *v1alpha1.Hypervisor) ([]disklocality.Refusal, error)
}

// Hosts returns what a host reports; nil when nothing is known of it.
type Hosts func(name string) *v1alpha1.Hypervisor

// Controller gives disks to VMs that have a host.
type Controller struct {
	cached client.Reader
	status *vmstatus.Swift
	disks  Giver
	hosts  Hosts
	clock  clock.PassiveClock
}

// New returns a Controller that reads VMs from cached and writes with status.
func New(cached client.Reader, status *vmstatus.Swift, disks Giver, hosts Hosts, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, status: status, disks: disks, hosts: hosts, clock: clk}
}

// index is the disks that a VM names.
func index(o client.Object) []string {
	if vm, ok := o.(*v1alpha1.VirtualMachine); ok {
		return vm.DiskNames()
	}
	return nil
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	if err := m.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.VirtualMachine{}, byDisk, index); err != nil {
		return fmt.Errorf("indexing VirtualMachines by their disks: %w", err)
	}
	wanted := predicate.NewPredicateFuncs(func(o client.Object) bool {
		vm, ok := o.(*v1alpha1.VirtualMachine)
		return ok && concerns(vm)
	})
	return ctrl.NewControllerManagedBy(m).Named("disk-claim").
		For(&v1alpha1.VirtualMachine{}, builder.WithPredicates(wanted)).
		Watches(&v1alpha1.VirtualDisk{}, handler.EnqueueRequestsFromMapFunc(c.users)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(c)
}

// users are the VMs with a host that name the disk.
func (c *Controller) users(ctx context.Context, disk client.Object) []reconcile.Request {
	vms := &v1alpha1.VirtualMachineList{}
	if c.cached.List(ctx, vms, client.InNamespace(disk.GetNamespace()), client.MatchingFields{byDisk: disk.GetName()}, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range vms.Items {
		if vm := &vms.Items[i]; concerns(vm) {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: vm.Namespace, Name: vm.Name}})
		}
	}
	return out
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	vm := &v1alpha1.VirtualMachine{}
	if err := c.cached.Get(ctx, req.NamespacedName, vm); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !concerns(vm) {
		return reconcile.Result{}, nil
	}
	var refused []disklocality.Refusal
	if wants(vm) {
		hv := c.hosts(vm.Status.Placement.NodeName)
		if hv == nil {
			return reconcile.Result{RequeueAfter: later}, nil
		}
		var err error
		refused, err = c.disks.Give(ctx, vm, hv)
		switch {
		case errors.Is(err, diskstatus.ErrStale), errors.Is(err, disklocality.ErrNotSynced):
			return reconcile.Result{RequeueAfter: soon}, nil
		case err != nil:
			return reconcile.Result{}, err
		}
	}
	err := c.status.Write(ctx, vm, vmstatus.Guard{Generation: vm.Generation}, func(s *v1alpha1.VirtualMachineStatus) { mark(s, vm, refused, c.clock.Now()) })
	switch {
	case errors.Is(err, vmstatus.ErrStale):
		return reconcile.Result{}, nil // a newer state of the VM is on its way here
	case err != nil || len(refused) == 0:
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	return reconcile.Result{RequeueAfter: later}, nil
}
