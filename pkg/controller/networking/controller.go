// Package networking holds VirtualNetworks while hosts have them, and says in their
// status which do. A host says so in its Hypervisor alone: nobody but the leader
// writes a VirtualNetwork.
package networking

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// settle is how long after a host's report, or a VM's change, networks are looked at:
// many hosts come to have one at the same time, and it is written once for all.
const settle = 2 * time.Second

// byNetwork indexes Hypervisors and VirtualMachines by the VirtualNetworks that they
// have or name, as namespace/name.
const byNetwork = "domus.dev/virtualNetwork"

// Controller looks after VirtualNetworks.
type Controller struct {
	cached client.Reader
	live   client.Client
	clock  clock.PassiveClock
}

// New returns a Controller that reads from cached and writes with live, which must
// not be cached.
func New(cached client.Reader, live client.Client, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, clock: clk}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	for _, kind := range []client.Object{&v1alpha1.Hypervisor{}, &v1alpha1.VirtualMachine{}} {
		if err := m.GetFieldIndexer().IndexField(context.Background(), kind, byNetwork, Named); err != nil {
			return fmt.Errorf("indexing by network: %w", err)
		}
	}
	return ctrl.NewControllerManagedBy(m).Named("virtualnetwork").
		For(&v1alpha1.VirtualNetwork{}).
		Watches(&v1alpha1.Hypervisor{}, changes(settle)).
		Watches(&v1alpha1.VirtualMachine{}, changes(settle)).
		Complete(c)
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	n := &v1alpha1.VirtualNetwork{}
	if err := c.cached.Get(ctx, req.NamespacedName, n); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	held := controllerutil.ContainsFinalizer(n, v1alpha1.NetworkFinalizer)
	switch {
	case n.DeletionTimestamp == nil && !held:
		return reconcile.Result{}, c.hold(ctx, n, true)
	case n.DeletionTimestamp != nil && !held:
		return reconcile.Result{}, nil
	}
	hosts, err := c.hosts(ctx, n)
	if err != nil {
		return reconcile.Result{}, err
	}
	users, err := c.users(ctx, n)
	if err != nil {
		return reconcile.Result{}, err
	}
	if n.DeletionTimestamp != nil && len(hosts) == 0 && len(users) == 0 {
		return reconcile.Result{}, c.hold(ctx, n, false)
	}
	next := n.DeepCopy()
	why, err := c.define(ctx, &next.Status, n)
	if err != nil {
		return reconcile.Result{}, err
	}
	judge(&next.Status, n, hosts, users, why, c.clock.Now())
	again := reconcile.Result{}
	if n.Spec.CNI != nil && n.Spec.CNI.DefinitionName != "" {
		again.RequeueAfter = rereading
	}
	if equality.Semantic.DeepEqual(n.Status, next.Status) {
		return again, nil
	}
	if err := c.live.Status().Patch(ctx, next, client.MergeFromWithOptions(n, client.MergeFromWithOptimisticLock{})); err != nil {
		return again, unlessOld(fmt.Errorf("writing VirtualNetwork %s: %w", req, err))
	}
	return again, nil
}

// hold stores the finalizer, or removes it.
func (c *Controller) hold(ctx context.Context, n *v1alpha1.VirtualNetwork, hold bool) error {
	next := n.DeepCopy()
	if hold {
		controllerutil.AddFinalizer(next, v1alpha1.NetworkFinalizer)
	} else {
		controllerutil.RemoveFinalizer(next, v1alpha1.NetworkFinalizer)
	}
	if err := c.live.Patch(ctx, next, client.MergeFromWithOptions(n, client.MergeFromWithOptimisticLock{})); err != nil {
		return unlessOld(fmt.Errorf("writing the finalizer of VirtualNetwork %s/%s: %w", n.Namespace, n.Name, err))
	}
	return nil
}

// unlessOld is nil where the object has changed or gone: the newer one is on its way
// into the cache and wakes this again.
func unlessOld(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// hosts lists what hosts say of the network.
func (c *Controller) hosts(ctx context.Context, n *v1alpha1.VirtualNetwork) (out []v1alpha1.NetworkOnHost, err error) {
	list := &v1alpha1.HypervisorList{}
	if err := c.cached.List(ctx, list, client.MatchingFields{byNetwork: n.Namespace + "/" + n.Name}); err != nil {
		return nil, fmt.Errorf("listing the hosts of VirtualNetwork %s/%s: %w", n.Namespace, n.Name, err)
	}
	for i := range list.Items {
		for _, on := range list.Items[i].Status.Networks {
			if on.UID == string(n.UID) {
				out = append(out, v1alpha1.NetworkOnHost{NodeName: list.Items[i].Name, Active: on.Active, BridgeName: on.BridgeName, Message: on.Message})
			}
		}
	}
	return out, nil
}

// users names the VMs that have a host and a card on the network. Those of one that is
// deleted are asked of the API server itself: one may have been bound just now.
func (c *Controller) users(ctx context.Context, n *v1alpha1.VirtualNetwork) (out []string, err error) {
	list := &v1alpha1.VirtualMachineList{}
	if n.DeletionTimestamp != nil {
		err = c.live.List(ctx, list, client.InNamespace(n.Namespace))
	} else {
		err = c.cached.List(ctx, list, client.InNamespace(n.Namespace), client.MatchingFields{byNetwork: n.Namespace + "/" + n.Name})
	}
	if err != nil {
		return nil, fmt.Errorf("listing the VirtualMachines on VirtualNetwork %s/%s: %w", n.Namespace, n.Name, err)
	}
	for i := range list.Items {
		if vm := &list.Items[i]; vm.Status.Placement != nil && vm.NamesNetwork(n.Name) {
			out = append(out, vm.Name)
		}
	}
	return out, nil
}
