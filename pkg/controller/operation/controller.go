package operation

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/opstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/controller/silence"
)

const (
	// workers bounds the VMs whose operations are looked at at once.
	workers = 4
	// virtualMachineKind is the kind of an operation's owner.
	virtualMachineKind = "VirtualMachine"
	// byVM is the cache's index of operations by the name of their VM.
	byVM = "spec.virtualMachineName"
	// again is when to look again after a write that came too late: what is newer
	// is on its way into the cache, and wakes this by itself.
	again = time.Second
)

// Controller looks after the operations of VMs; what it is asked to look at are
// names of VMs.
type Controller struct {
	cached client.Reader
	live   client.Client
	clock  clock.PassiveClock
	own    ownWrites
}

// New returns a Controller that reads from cached and writes with live, which
// must not be cached. Register gives the cache the index that it needs.
func New(cached client.Reader, live client.Client, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, clock: clk}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	if err := m.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.VirtualMachineOperation{}, byVM, vmName); err != nil {
		return fmt.Errorf("indexing operations: %w", err)
	}
	return ctrl.NewControllerManagedBy(m).Named("vm-operation").
		Watches(&v1alpha1.VirtualMachineOperation{}, handler.EnqueueRequestsFromMapFunc(ofOperation)).
		Watches(&v1alpha1.VirtualMachine{}, handler.EnqueueRequestsFromMapFunc(c.ofVM)).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(c.ofNode), builder.WithPredicates(reachabilityChanges())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(c)
}

func vmName(o client.Object) []string {
	return []string{o.(*v1alpha1.VirtualMachineOperation).Spec.VirtualMachineName}
}

func ofOperation(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: vmName(o)[0]}}}
}

// ofVM wakes a VM that has operations; few have.
func (c *Controller) ofVM(ctx context.Context, o client.Object) []reconcile.Request {
	key := client.ObjectKeyFromObject(o)
	ops, err := c.operations(ctx, key)
	if err != nil || len(ops) == 0 {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}

// ofNode wakes what may have waited for a host.
func (c *Controller) ofNode(ctx context.Context, _ client.Object) []reconcile.Request {
	list := &v1alpha1.VirtualMachineOperationList{}
	if c.cached.List(ctx, list) != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		if !list.Items[i].Status.Finished() {
			out = append(out, ofOperation(ctx, &list.Items[i])...)
		}
	}
	return out
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	ops, err := c.operations(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	var next time.Duration
	var ahead *v1alpha1.VirtualMachineOperation
	plug := firstForceStop(ops)
	for _, op := range ops {
		// What the plug overtakes comes before it here, and is over by then.
		after, now, err := c.look(ctx, req.NamespacedName, situation{operation: op, ahead: ahead, plug: plug})
		switch {
		case errors.Is(err, opstatus.ErrStale), apierrors.IsConflict(err), apierrors.IsNotFound(err):
			after = again
		case err != nil:
			return reconcile.Result{}, err
		}
		if ahead == nil && !now.Status.Finished() && now.DeletionTimestamp == nil {
			ahead = now
		}
		if after > 0 && (next == 0 || after < next) {
			next = after
		}
	}
	return reconcile.Result{RequeueAfter: next}, nil
}

// firstForceStop is the first that is not over; nil when there is none.
func firstForceStop(ops []*v1alpha1.VirtualMachineOperation) *v1alpha1.VirtualMachineOperation {
	for _, op := range ops {
		if op.Spec.Type == v1alpha1.OperationForceStop && !op.Status.Finished() && op.DeletionTimestamp == nil {
			return op
		}
	}
	return nil
}

// operations lists those of a VM in order.
func (c *Controller) operations(ctx context.Context, vm types.NamespacedName) ([]*v1alpha1.VirtualMachineOperation, error) {
	list := &v1alpha1.VirtualMachineOperationList{}
	if err := c.cached.List(ctx, list, client.InNamespace(vm.Namespace), client.MatchingFields{byVM: vm.Name}); err != nil {
		return nil, fmt.Errorf("listing the operations of VirtualMachine %s: %w", vm, err)
	}
	out := c.own.newest(vm, list.Items)
	sortOperations(out)
	return out, nil
}

// look decides about the operation of in, which lacks the VM and its host, and
// carries that out. It returns when to look again, and the operation as it is then.
func (c *Controller) look(ctx context.Context, key types.NamespacedName, in situation) (time.Duration, *v1alpha1.VirtualMachineOperation, error) {
	op := in.operation
	in.now = c.clock.Now()
	for i, from := range []client.Reader{c.cached, c.live} {
		var err error
		if in.vm, err = readVM(ctx, from, key); err != nil {
			return 0, op, err
		}
		if in.silence, err = c.silence(ctx, in); err != nil {
			return 0, op, err
		}
		d := decide(in)
		switch {
		case d.status == nil && !d.remove:
			return d.after, op, nil
		case i == 0:
			continue // what is written is decided on the VM as it is, not as the cache has it
		case d.remove:
			return 0, op, c.remove(ctx, op)
		}
		now, err := c.write(ctx, op, in.vm, d)
		if err != nil {
			return 0, op, err
		}
		return d.after, now, nil
	}
	return 0, op, nil
}

func readVM(ctx context.Context, from client.Reader, key types.NamespacedName) (*v1alpha1.VirtualMachine, error) {
	vm := &v1alpha1.VirtualMachine{}
	err := from.Get(ctx, key, vm)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading VirtualMachine %s: %w", key, err)
	}
	return vm, nil
}

// silence says why the host that is to do the operation cannot be reached.
func (c *Controller) silence(ctx context.Context, in situation) (string, error) {
	name := in.operation.Status.NodeName
	if name == "" && in.vm != nil && in.vm.Status.Placement != nil {
		name = in.vm.Status.Placement.NodeName
	}
	if name == "" {
		return "", nil
	}
	node := &corev1.Node{}
	err := c.cached.Get(ctx, types.NamespacedName{Name: name}, node)
	if apierrors.IsNotFound(err) {
		return "there is no Node " + name, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading Node %s: %w", name, err)
	}
	return silenceOf(node), nil
}

// silenceOf says why the Node's host cannot be reached; "" when it can.
func silenceOf(node *corev1.Node) string {
	s := silence.Of(node)
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%s cannot be reached, %s (taint %s)", node.Name, s.Why, s.Taint)
}

// write makes the operation the VM's where asked, and writes its status.
func (c *Controller) write(ctx context.Context, op *v1alpha1.VirtualMachineOperation, vm *v1alpha1.VirtualMachine, d decision) (*v1alpha1.VirtualMachineOperation, error) {
	if d.own {
		owned := op.DeepCopy()
		owned.OwnerReferences = append(owned.OwnerReferences, metav1.OwnerReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: virtualMachineKind, Name: vm.Name, UID: vm.UID,
		})
		if err := c.live.Patch(ctx, owned, client.MergeFromWithOptions(op, client.MergeFromWithOptimisticLock{})); err != nil {
			return nil, fmt.Errorf("storing the owner of VirtualMachineOperation %s/%s: %w", op.Namespace, op.Name, err)
		}
		op = owned
	}
	stored, err := opstatus.Write(ctx, c.live, op, *d.status)
	if err == nil {
		c.own.wrote(stored)
	}
	return stored, err
}

func (c *Controller) remove(ctx context.Context, op *v1alpha1.VirtualMachineOperation) error {
	err := c.live.Delete(ctx, op, client.Preconditions{UID: &op.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing VirtualMachineOperation %s/%s: %w", op.Namespace, op.Name, err)
	}
	return nil
}

// reachabilityChanges lets pass what makes a host reachable or not, and not its
// heartbeats.
func reachabilityChanges() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return true },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, isNode := e.ObjectOld.(*corev1.Node)
			after, isStill := e.ObjectNew.(*corev1.Node)
			return isNode && isStill && silence.Changed(before, after)
		},
		DeleteFunc: func(event.DeleteEvent) bool { return true },
	}
}
