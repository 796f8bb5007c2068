// Package grouping says of VMs that wait for their group why they do. The
// scheduler's queue keeps them back until the group is complete, and tells
// nobody.
package grouping

import (
	"context"
	"errors"
	"fmt"
	"time"

	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/controller/delay"
)

// patience is how long after a change a group is looked at: most groups are
// created in one go and never need a word.
const patience = 5 * time.Second

// groupField is the cache's index of VMs by group.
const groupField = "spec.schedulingGroup.podGroupName"

// Options say what the scheduler beside this controller does.
type Options struct {
	// Enabled says whether it places groups: the feature gate GenericWorkload.
	Enabled bool
	// SchedulerNames are its profiles; VMs of other schedulers are left alone.
	SchedulerNames sets.Set[string]
}

// Controller writes condition Scheduled of VMs whose group is not complete.
type Controller struct {
	cached  client.Reader
	status  *vmstatus.Swift
	clock   clock.PassiveClock
	options Options
}

// New returns a Controller that reads from cached and writes with status.
func New(cached client.Reader, status *vmstatus.Swift, clk clock.PassiveClock, o Options) *Controller {
	return &Controller{cached: cached, status: status, clock: clk, options: o}
}

// Register adds the controller to m. Its requests name groups.
func (c *Controller) Register(m manager.Manager) error {
	if err := m.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.VirtualMachine{}, groupField, groupOf); err != nil {
		return fmt.Errorf("indexing VirtualMachines by group: %w", err)
	}
	b := ctrl.NewControllerManagedBy(m).Named("vm-group").Watches(&v1alpha1.VirtualMachine{}, delay.ChangesAndDeletions(patience, groupOf))
	if c.options.Enabled {
		b = b.Watches(&schedulingv1beta1.PodGroup{}, delay.ChangesAndDeletions(patience, delay.Own))
	}
	return b.Complete(c)
}

// groupOf returns the group that a VM names.
func groupOf(o client.Object) []string {
	if vm, ok := o.(*v1alpha1.VirtualMachine); ok && vm.Spec.SchedulingGroup != nil {
		return []string{vm.Spec.SchedulingGroup.PodGroupName}
	}
	return nil
}

// Reconcile implements reconcile.Reconciler. The request names a group.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	group, err := c.group(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	list := &v1alpha1.VirtualMachineList{}
	// Nothing of the list is changed here.
	if err := c.cached.List(ctx, list, client.InNamespace(req.Namespace), client.MatchingFields{groupField: req.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the VirtualMachines of PodGroup %s: %w", req, err)
	}
	vms := make([]*v1alpha1.VirtualMachine, len(list.Items))
	for i := range list.Items {
		vms[i] = &list.Items[i]
	}
	message := c.options.why(req.Name, group, vms)
	if message == "" {
		return reconcile.Result{}, nil
	}
	var errs []error
	for _, vm := range vms {
		if c.options.waits(vm) {
			errs = append(errs, c.say(ctx, vm, message))
		}
	}
	return reconcile.Result{}, errors.Join(errs...)
}

// group returns the PodGroup, and nil when there is none.
func (c *Controller) group(ctx context.Context, key types.NamespacedName) (*schedulingv1beta1.PodGroup, error) {
	if !c.options.Enabled {
		return nil, nil
	}
	group := &schedulingv1beta1.PodGroup{}
	if err := c.cached.Get(ctx, key, group); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading PodGroup %s: %w", key, err)
	}
	return group, nil
}

// say writes the condition on a VM that still waits.
func (c *Controller) say(ctx context.Context, vm *v1alpha1.VirtualMachine, message string) error {
	err := c.status.Write(ctx, vm, vmstatus.Guard{}, func(s *v1alpha1.VirtualMachineStatus) {
		if s.Placement != nil {
			return
		}
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWaitingForGroup,
			Message: message, ObservedGeneration: vm.Generation, LastTransitionTime: metav1.NewTime(c.clock.Now()),
		})
	})
	if errors.Is(err, vmstatus.ErrStale) {
		// A newer state of the VM is on its way here.
		return nil
	}
	return client.IgnoreNotFound(err)
}
