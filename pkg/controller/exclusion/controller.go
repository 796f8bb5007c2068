// Package exclusion ends the exclusion of hosts that refused a VM once its time
// is over, so that the VM may be placed there again.
package exclusion

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

// Controller ends exclusions.
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
		return ok && waits(vm)
	})
	return ctrl.NewControllerManagedBy(m).Named("vm-exclusion").
		For(&v1alpha1.VirtualMachine{}).WithEventFilter(wanted).Complete(c)
}

// waits says whether the VM looks for a host with some excluded. While it is
// bound its exclusions matter to nobody, and writing them would be a waste.
func waits(vm *v1alpha1.VirtualMachine) bool {
	return vm.Status.Placement == nil && len(vm.Status.ExcludedHosts) > 0
}

// remaining returns the exclusions that still hold, and how long until the next
// of them ends.
func remaining(hosts []v1alpha1.HostExclusion, now time.Time) ([]v1alpha1.HostExclusion, time.Duration) {
	var left []v1alpha1.HostExclusion
	var next time.Duration
	for _, h := range hosts {
		if wait := h.Until.Sub(now); wait > 0 {
			left = append(left, h)
			if next == 0 || wait < next {
				next = wait
			}
		}
	}
	return left, next
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	vm := &v1alpha1.VirtualMachine{}
	if err := c.cached.Get(ctx, req.NamespacedName, vm); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !waits(vm) {
		return reconcile.Result{}, nil
	}
	now := c.clock.Now()
	left, next := remaining(vm.Status.ExcludedHosts, now)
	if len(left) < len(vm.Status.ExcludedHosts) {
		err := c.status.Write(ctx, vm, vmstatus.Guard{}, func(s *v1alpha1.VirtualMachineStatus) {
			s.ExcludedHosts, _ = remaining(s.ExcludedHosts, now)
		})
		if err != nil && !errors.Is(err, vmstatus.ErrStale) {
			return reconcile.Result{}, client.IgnoreNotFound(err)
		}
	}
	return reconcile.Result{RequeueAfter: next}, nil
}
