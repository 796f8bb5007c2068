// Package consistency says so on a Hypervisor whose reports contradict each
// other: its own parts, or the Node that the same executor reports. vm-scheduler
// places by the smaller amounts then, and a person should know why a host seems
// smaller than it is.
package consistency

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/controller/delay"
)

// settle is how long after a report the two are compared: an executor writes
// the Hypervisor first and then the Node.
const settle = 10 * time.Second

// Controller compares Hypervisors with their Nodes.
type Controller struct {
	cached client.Reader
	live   client.Client
	clock  clock.PassiveClock
}

// New returns a Controller that reads from cached and writes with live, which
// must not be cached.
func New(cached client.Reader, live client.Client, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, clock: clk}
}

// Register adds the controller to m. Whatever changes is looked at once it has
// settled.
func (c *Controller) Register(m manager.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named("hypervisor-consistency").
		Watches(&v1alpha1.Hypervisor{}, delay.Changes(settle, delay.Own)).
		Watches(&corev1.Node{}, delay.Changes(settle, delay.Own)).
		Complete(c)
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	hv, node := &v1alpha1.Hypervisor{}, &corev1.Node{}
	if err := c.cached.Get(ctx, req.NamespacedName, hv); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if err := c.cached.Get(ctx, req.NamespacedName, node); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	reason, message := judge(&hv.Status, node.Status.Allocatable)
	return reconcile.Result{}, c.say(ctx, hv, reason, message)
}

// say writes the condition where it differs. A host that never contradicted
// itself has none, which saves a write for each.
func (c *Controller) say(ctx context.Context, hv *v1alpha1.Hypervisor, reason, message string) error {
	condition := metav1.Condition{
		Type: v1alpha1.HypervisorConsistent, Status: metav1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: hv.Generation, LastTransitionTime: metav1.NewTime(c.clock.Now()),
	}
	if reason == v1alpha1.ReasonReportsAgree {
		condition.Status = metav1.ConditionTrue
		if meta.FindStatusCondition(hv.Status.Conditions, condition.Type) == nil {
			return nil
		}
	}
	changed := hv.DeepCopy()
	if !meta.SetStatusCondition(&changed.Status.Conditions, condition) {
		return nil
	}
	// The executor writes the same list: the resource version guards it.
	if err := c.live.Status().Patch(ctx, changed, client.MergeFromWithOptions(hv, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing Hypervisor %s: %w", hv.Name, err)
	}
	return nil
}
