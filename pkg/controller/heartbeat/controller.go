// Package heartbeat keeps VMs off hosts whose executor has gone silent. It
// taints the Node and says so in the Hypervisor; it touches no VM: a host that
// cannot be heard may well be running its guests.
package heartbeat

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/util/taints"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Grace is how long a host's Lease may go without renewal: the default that
// Kubernetes' node controller has for the same Lease.
const Grace = 40 * time.Second

// Controller watches the Leases that hosts renew. How long a host has been silent
// is counted from when this process saw the Lease renewed, by its own clock: the
// hosts' clocks may differ, and after an API server or a leader was away no host
// could have renewed, or been seen to.
type Controller struct {
	cached client.Reader
	live   client.Client
	clock  clock.PassiveClock
	seen   sightings
}

// New returns a Controller that reads from cached and writes with live, which
// must not be cached.
func New(cached client.Reader, live client.Client, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, clock: clk}
}

// Register adds the controller to m. Renewals wake nothing; a host is looked at
// when its grace ends, and when a Lease that was late is renewed.
func (c *Controller) Register(m manager.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named("hypervisor-heartbeat").
		For(&v1alpha1.Hypervisor{}).
		Watches(&coordinationv1.Lease{}, handler.EnqueueRequestsFromMapFunc(c.afterRenewal)).
		Complete(c)
}

// afterRenewal wakes the host of a renewed Lease if the host is held to be
// silent.
func (c *Controller) afterRenewal(ctx context.Context, lease client.Object) []reconcile.Request {
	key := types.NamespacedName{Name: lease.GetName()}
	l, ok := lease.(*coordinationv1.Lease)
	if !ok || l.Namespace != v1alpha1.LeaseNamespace {
		return nil
	}
	c.seen.see(l, c.clock.Now())
	hv := &v1alpha1.Hypervisor{}
	if c.cached.Get(ctx, key, hv) != nil || !saidUnreachable(hv) {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}

func saidUnreachable(hv *v1alpha1.Hypervisor) bool {
	ready := meta.FindStatusCondition(hv.Status.Conditions, v1alpha1.HypervisorReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonExecutorUnreachable
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	hv := &v1alpha1.Hypervisor{}
	if err := c.cached.Get(ctx, req.NamespacedName, hv); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	lease := &coordinationv1.Lease{}
	if err := c.cached.Get(ctx, types.NamespacedName{Namespace: v1alpha1.LeaseNamespace, Name: req.Name}, lease); err != nil {
		// A host that has never had a Lease has not come up yet.
		c.seen.forget(req.Name)
		return reconcile.Result{RequeueAfter: Grace}, client.IgnoreNotFound(err)
	}
	voice, wait := c.seen.see(lease, c.clock.Now())
	if voice == silent {
		// The cache may be behind. An API server that does not answer says nothing
		// of the hosts, which do not reach it either.
		err := c.live.Get(ctx, client.ObjectKeyFromObject(lease), lease)
		if err != nil && !apierrors.IsNotFound(err) {
			c.seen.anew(c.clock.Now())
			return reconcile.Result{}, fmt.Errorf("reading the Lease of host %s: %w", req.Name, err)
		}
		if err == nil {
			voice, wait = c.seen.see(lease, c.clock.Now())
		}
	}
	switch voice {
	case silent:
		if err := c.taint(ctx, req.Name, true); err != nil {
			return reconcile.Result{}, err
		}
		return reconcile.Result{RequeueAfter: Grace}, c.say(ctx, hv)
	case heard:
		if err := c.taint(ctx, req.Name, false); err != nil {
			return reconcile.Result{}, err
		}
	}
	return reconcile.Result{RequeueAfter: wait + time.Second}, nil
}

// taint makes the Node carry the taint, or not.
func (c *Controller) taint(ctx context.Context, name string, silent bool) error {
	node := &corev1.Node{}
	if err := c.cached.Get(ctx, types.NamespacedName{Name: name}, node); err != nil {
		return client.IgnoreNotFound(err)
	}
	if taints.TaintKeyExists(node.Spec.Taints, v1alpha1.ExecutorUnreachableTaint) == silent {
		return nil
	}
	changed := node.DeepCopy()
	if silent {
		now := metav1.NewTime(c.clock.Now())
		changed.Spec.Taints = append(changed.Spec.Taints, corev1.Taint{Key: v1alpha1.ExecutorUnreachableTaint, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &now})
	} else {
		changed.Spec.Taints, _ = taints.DeleteTaintsByKey(changed.Spec.Taints, v1alpha1.ExecutorUnreachableTaint)
	}
	// Taints are one list with many writers: the resource version guards it.
	if err := c.live.Patch(ctx, changed, client.MergeFromWithOptions(node, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("tainting Node %s: %w", name, err)
	}
	return nil
}

// say writes Ready=Unknown. The executor writes what it finds when it is back.
func (c *Controller) say(ctx context.Context, hv *v1alpha1.Hypervisor) error {
	if saidUnreachable(hv) {
		return nil
	}
	changed := hv.DeepCopy()
	meta.SetStatusCondition(&changed.Status.Conditions, metav1.Condition{
		Type: v1alpha1.HypervisorReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonExecutorUnreachable,
		Message:            fmt.Sprintf("the host has not renewed its Lease for %s: see whether its vm-executor runs and reaches the API server; guests there are left alone", Grace),
		ObservedGeneration: hv.Generation, LastTransitionTime: metav1.NewTime(c.clock.Now()),
	})
	err := c.live.Status().Patch(ctx, changed, client.MergeFromWithOptions(hv, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("writing Hypervisor %s: %w", hv.Name, err)
	}
	return nil
}
