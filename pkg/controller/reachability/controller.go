package reachability

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/controller/silence"
)

const (
	// writesPerSecond bounds what a rack that is lost costs the API server: a write
	// takes some 3 ms of its CPU. burst is a host's VMs.
	writesPerSecond = 50
	burst           = 50
	// byHost is the cache's index of VMs by the host that they are bound to.
	byHost = "status.placement.nodeName"
)

// Writer writes VMs' statuses, as vmstatus.Swift does.
type Writer interface {
	Write(ctx context.Context, observed *v1alpha1.VirtualMachine, guard vmstatus.Guard, mutate func(*v1alpha1.VirtualMachineStatus)) error
}

// Controller looks at VMs and their hosts.
type Controller struct {
	cached   client.Reader
	live     client.Reader
	status   Writer
	clock    clock.PassiveClock
	limit    *rate.Limiter
	patience patience
}

// New returns a Controller that reads from cached, makes sure of a host with
// live, which must not be cached, and writes with status. Register gives the cache
// the index that it needs.
func New(cached, live client.Reader, status Writer, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, status: status, clock: clk, limit: rate.NewLimiter(writesPerSecond, burst)}
}

// Register adds the controller to m. One VM is looked at at a time: what is
// written is bounded in any case.
func (c *Controller) Register(m manager.Manager) error {
	if err := m.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.VirtualMachine{}, byHost, hostOf); err != nil {
		return fmt.Errorf("indexing VirtualMachines by host: %w", err)
	}
	return ctrl.NewControllerManagedBy(m).Named("vm-reachability").
		For(&v1alpha1.VirtualMachine{}, builder.WithPredicates(ofVMs())).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(c.ofNode), builder.WithPredicates(ofNodes())).
		Complete(c)
}

func hostOf(o client.Object) []string {
	if p := o.(*v1alpha1.VirtualMachine).Status.Placement; p != nil {
		return []string{p.NodeName}
	}
	return nil
}

// ofVMs lets pass VMs that appear, that change their host, or whose condition was
// changed.
func ofVMs() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, was := e.ObjectOld.(*v1alpha1.VirtualMachine)
			after, is := e.ObjectNew.(*v1alpha1.VirtualMachine)
			if !was || !is {
				return false
			}
			p, q := before.Status.Placement, after.Status.Placement
			return (p == nil) != (q == nil) || p != nil && p.NodeName != q.NodeName || (said(before) == nil) != (said(after) == nil)
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// ofNodes lets pass Nodes that appear, go, fall silent or are heard again, and not
// their heartbeats.
func ofNodes() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, was := e.ObjectOld.(*corev1.Node)
			after, is := e.ObjectNew.(*corev1.Node)
			return was && is && silence.Changed(before, after)
		},
	}
}

// ofNode wakes the VMs of a host.
func (c *Controller) ofNode(ctx context.Context, node client.Object) []reconcile.Request {
	list := &v1alpha1.VirtualMachineList{}
	if c.cached.List(ctx, list, client.MatchingFields{byHost: node.GetName()}, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	vm, _, after, err := c.look(ctx, req.NamespacedName)
	if vm == nil || after > 0 || err != nil {
		return reconcile.Result{RequeueAfter: after}, err
	}
	if err := c.limit.Wait(ctx); err != nil {
		return reconcile.Result{}, fmt.Errorf("waiting to write: %w", err)
	}
	// That may have taken a while.
	vm, a, after, err := c.look(ctx, req.NamespacedName)
	if vm == nil || after > 0 || err != nil {
		return reconcile.Result{RequeueAfter: after}, err
	}
	now, host := c.clock.Now(), placedOn(vm)
	if a != nil {
		c.patience.tell(host, now)
	}
	err = c.status.Write(ctx, vm, vmstatus.Guard{}, func(s *v1alpha1.VirtualMachineStatus) {
		switch {
		case a == nil:
			meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionHostReachable)
		case s.Placement != nil && s.Placement.NodeName == host:
			meta.SetStatusCondition(&s.Conditions, a.condition(vm, now))
		}
	})
	if errors.Is(err, vmstatus.ErrStale) {
		return reconcile.Result{}, nil // a newer state of the VM is on its way here
	}
	return reconcile.Result{}, client.IgnoreNotFound(err)
}

// look returns the VM and its host's absence where something is to be written:
// the VM is nil when nothing is, and after is positive when it is too early.
func (c *Controller) look(ctx context.Context, key types.NamespacedName) (*v1alpha1.VirtualMachine, *absence, time.Duration, error) {
	vm := &v1alpha1.VirtualMachine{}
	if err := c.cached.Get(ctx, key, vm); err != nil {
		return nil, nil, 0, client.IgnoreNotFound(err)
	}
	a, err := c.absence(ctx, c.cached, vm)
	now, host := c.clock.Now(), placedOn(vm)
	if a == nil && host != "" && err == nil {
		c.patience.present(host, now)
	}
	if err != nil || settled(vm, a) {
		return nil, nil, 0, err
	}
	if a == nil {
		return vm, nil, 0, nil
	}
	if left := c.patience.left(host, a.since, now); left > 0 {
		return vm, a, left, nil
	}
	if !c.patience.sure(host, now) {
		really, err := c.absence(ctx, c.live, vm)
		switch {
		case err != nil:
			c.patience.anew(now)
			return nil, nil, 0, err
		case really == nil:
			return vm, nil, settle, nil // the cache is about to hear of it
		}
		c.patience.confirm(host, now)
	}
	return vm, a, 0, nil
}

// absence reads why the VM's host cannot be asked; nil when it can, or there is no
// host.
func (c *Controller) absence(ctx context.Context, from client.Reader, vm *v1alpha1.VirtualMachine) (*absence, error) {
	name := placedOn(vm)
	if name == "" {
		return nil, nil
	}
	node, lease := &corev1.Node{}, &coordinationv1.Lease{}
	err := from.Get(ctx, types.NamespacedName{Name: name}, node)
	switch {
	case apierrors.IsNotFound(err):
		node = nil
	case err != nil:
		return nil, fmt.Errorf("reading Node %s: %w", name, err)
	}
	if node != nil && silence.Of(node) == nil {
		return nil, nil
	}
	err = from.Get(ctx, types.NamespacedName{Namespace: v1alpha1.LeaseNamespace, Name: name}, lease)
	switch {
	case apierrors.IsNotFound(err):
		lease = nil
	case err != nil:
		return nil, fmt.Errorf("reading the Lease of host %s: %w", name, err)
	}
	return absenceOf(name, node, lease), nil
}

func placedOn(vm *v1alpha1.VirtualMachine) string {
	if p := vm.Status.Placement; p != nil {
		return p.NodeName
	}
	return ""
}
