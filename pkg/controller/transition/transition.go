// Package transition is what controllers share that bring a VM from one status
// into another in one write, as soon as it is due. When it is due and what the
// status is then they decide themselves.
package transition

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

// Rule says which VMs are brought into which status.
type Rule struct {
	// Name is the controller's.
	Name string
	// Workers bounds concurrent writes.
	Workers int
	// Due says whether there is something to do, now or later. It must be false of
	// what Next makes, or Next change nothing the second time.
	Due func(vm *v1alpha1.VirtualMachine) bool
	// OnSpec has the write be void when the spec has changed since.
	OnSpec bool
	// Next changes s, the VM's newest status, in which vm's placement is as it was,
	// into what is due; what it leaves as it is costs no write. It returns when
	// something else will be due, 0 for never.
	Next func(s *v1alpha1.VirtualMachineStatus, vm *v1alpha1.VirtualMachine, now time.Time) time.Duration
}

// Controller carries a Rule out.
type Controller struct {
	rule   Rule
	cached client.Reader
	status *vmstatus.Swift
	clock  clock.PassiveClock
}

// New returns a Controller that reads from cached and writes with status.
func New(rule Rule, cached client.Reader, status *vmstatus.Swift, clk clock.PassiveClock) *Controller {
	return &Controller{rule: rule, cached: cached, status: status, clock: clk}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	wanted := predicate.NewPredicateFuncs(func(o client.Object) bool {
		vm, ok := o.(*v1alpha1.VirtualMachine)
		return ok && c.rule.Due(vm)
	})
	return ctrl.NewControllerManagedBy(m).Named(c.rule.Name).
		For(&v1alpha1.VirtualMachine{}).WithEventFilter(wanted).
		WithOptions(controller.Options{MaxConcurrentReconciles: c.rule.Workers}).
		Complete(c)
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	vm := &v1alpha1.VirtualMachine{}
	if err := c.cached.Get(ctx, req.NamespacedName, vm); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !c.rule.Due(vm) {
		return reconcile.Result{}, nil
	}
	guard := vmstatus.Guard{}
	if c.rule.OnSpec {
		guard.Generation = vm.Generation
	}
	now := c.clock.Now()
	var again time.Duration
	err := c.status.Write(ctx, vm, guard, func(s *v1alpha1.VirtualMachineStatus) { again = c.rule.Next(s, vm, now) })
	if errors.Is(err, vmstatus.ErrStale) {
		// A newer state of the VM is on its way here.
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: again}, client.IgnoreNotFound(err)
}
