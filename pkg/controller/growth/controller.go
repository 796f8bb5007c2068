package growth

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

// Controller writes what is due.
type Controller struct {
	cached client.Reader
	status *vmstatus.Swift
	clock  clock.PassiveClock
}

// New returns a Controller that reads from cached and writes with status.
func New(cached client.Reader, status *vmstatus.Swift, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, status: status, clock: clk}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	wanted := predicate.NewPredicateFuncs(func(o client.Object) bool {
		vm, ok := o.(*v1alpha1.VirtualMachine)
		return ok && concerns(vm)
	})
	return ctrl.NewControllerManagedBy(m).Named("vm-growth").
		For(&v1alpha1.VirtualMachine{}).WithEventFilter(wanted).Complete(c)
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
	now := c.clock.Now()
	after := vm.Status.DeepCopy()
	again := next(after, vm, now)
	if equality.Semantic.DeepEqual(after, &vm.Status) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	// What is due depends on what the VM asks for.
	err := c.status.Write(ctx, vm, vmstatus.Guard{Generation: vm.Generation}, func(s *v1alpha1.VirtualMachineStatus) { next(s, vm, now) })
	if errors.Is(err, vmstatus.ErrStale) {
		// A newer state of the VM is on its way here.
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: again}, client.IgnoreNotFound(err)
}
