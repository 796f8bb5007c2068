// Package finalizer lets go of deleted VMs that no host holds. A host removes
// the finalizer of a VM bound to it, after undefining the domain; a VM that was
// unbound meanwhile has nobody else to do it.
package finalizer

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Controller removes the finalizer of deleted, unbound VMs.
type Controller struct {
	cached client.Reader
	live   client.Client
}

// New returns a Controller that reads from cached and writes with live.
func New(cached client.Reader, live client.Client) *Controller {
	return &Controller{cached: cached, live: live}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	wanted := predicate.NewPredicateFuncs(func(o client.Object) bool {
		vm, ok := o.(*v1alpha1.VirtualMachine)
		return ok && orphaned(vm)
	})
	return ctrl.NewControllerManagedBy(m).Named("vm-finalizer").
		For(&v1alpha1.VirtualMachine{}).WithEventFilter(wanted).Complete(c)
}

func orphaned(vm *v1alpha1.VirtualMachine) bool {
	return vm.DeletionTimestamp != nil && vm.Status.Placement == nil && controllerutil.ContainsFinalizer(vm, v1alpha1.DomainFinalizer)
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	vm := &v1alpha1.VirtualMachine{}
	if err := c.cached.Get(ctx, req.NamespacedName, vm); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !orphaned(vm) {
		return reconcile.Result{}, nil
	}
	// The resource version guards against a binding that lands meanwhile: then
	// a host may hold the VM, and the finalizer is that host's to remove.
	without := vm.DeepCopy()
	controllerutil.RemoveFinalizer(without, v1alpha1.DomainFinalizer)
	err := c.live.Patch(ctx, without, client.MergeFromWithOptions(vm, client.MergeFromWithOptimisticLock{}))
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case apierrors.IsConflict(err):
		// The newer object is on its way into the cache and wakes this again.
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, fmt.Errorf("removing finalizer of deleted VirtualMachine %s: %w", req.NamespacedName, err)
}
