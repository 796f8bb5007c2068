package secretgrant

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// workers bounds concurrent writes.
const workers = 4

// Controller keeps Roles and RoleBindings as the VMs have them. VMs that name no
// Secret cost it nothing.
type Controller struct {
	cached client.Reader
	live   client.Client
}

// New returns a Controller that reads from cached, which has of Roles and
// RoleBindings those with Label alone, and writes with live, which must not be
// cached.
func New(cached client.Reader, live client.Client) *Controller {
	return &Controller{cached: cached, live: live}
}

// byHost finds, in a cache, the VMs that need Secrets on a host.
const byHost = "secret-grant"

// index is the host of such a VM.
func index(o client.Object) []string {
	if vm, ok := o.(*v1alpha1.VirtualMachine); ok {
		if at, needs := placeOf(vm); needs {
			return []string{at.Name}
		}
	}
	return nil
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Register adds the controller to m. A VM that is unbound wakes the place that it
// had.
func (c *Controller) Register(m manager.Manager) error {
	add := func(q queue, o client.Object) {
		if vm, ok := o.(*v1alpha1.VirtualMachine); ok {
			if at, needs := placeOf(vm); needs {
				q.Add(reconcile.Request{NamespacedName: at})
			}
		}
	}
	ofVMs := handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(q, e.Object) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			add(q, e.ObjectOld)
			add(q, e.ObjectNew)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { add(q, e.Object) },
	}
	// What was made before this process, or by hand, is looked at too.
	ofGrants := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		at, ours := placeNamed(o.GetNamespace(), o.GetName())
		if !ours {
			return nil
		}
		return []reconcile.Request{{NamespacedName: at}}
	})
	if err := m.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.VirtualMachine{}, byHost, index); err != nil {
		return fmt.Errorf("indexing VirtualMachines: %w", err)
	}
	return ctrl.NewControllerManagedBy(m).Named("secret-grant").
		Watches(&v1alpha1.VirtualMachine{}, ofVMs).
		Watches(&rbacv1.Role{}, ofGrants).
		Watches(&rbacv1.RoleBinding{}, ofGrants).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(c)
}

// Reconcile implements reconcile.Reconciler. The Role comes before the binding,
// and goes after it.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	at := req.NamespacedName
	vms := &v1alpha1.VirtualMachineList{}
	if err := c.cached.List(ctx, vms, client.InNamespace(at.Namespace), client.MatchingFields{byHost: at.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the VirtualMachines of Namespace %s: %w", at.Namespace, err)
	}
	names := secrets(vms.Items, at.Name)
	var err error
	if len(names) == 0 {
		err = c.revoke(ctx, at)
	} else {
		err = c.grant(ctx, at, names)
	}
	if apierrors.IsConflict(err) || apierrors.HasStatusCause(err, "NamespaceTerminating") {
		// Whoever was faster wakes us again; and where a namespace goes, all does.
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, err
}

func (c *Controller) grant(ctx context.Context, at place, names []string) error {
	wantRole, haveRole := role(at, names), &rbacv1.Role{}
	err := c.put(ctx, wantRole, haveRole, func() bool {
		same := equality.Semantic.DeepEqual(haveRole.Rules, wantRole.Rules)
		haveRole.Rules = wantRole.Rules
		return same
	})
	if err != nil {
		return err
	}
	wantBinding, haveBinding := binding(at), &rbacv1.RoleBinding{}
	other := false
	err = c.put(ctx, wantBinding, haveBinding, func() bool {
		other = haveBinding.RoleRef != wantBinding.RoleRef
		same := equality.Semantic.DeepEqual(haveBinding.Subjects, wantBinding.Subjects)
		haveBinding.Subjects = wantBinding.Subjects
		return same || other
	})
	if err != nil || !other {
		return err
	}
	// Somebody made it by hand for another role, which cannot be changed.
	if err := c.live.Delete(ctx, haveBinding); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing RoleBinding %s/%s: %w", at.Namespace, haveBinding.Name, err)
	}
	return c.put(ctx, binding(at), &rbacv1.RoleBinding{}, func() bool { return true })
}

// put creates want, or updates what is there, which is read into have, unless same
// says that it is as wanted; same makes it so.
func (c *Controller) put(ctx context.Context, want, have client.Object, same func() bool) error {
	key := client.ObjectKeyFromObject(want)
	err := c.cached.Get(ctx, key, have)
	if apierrors.IsNotFound(err) {
		err = c.live.Create(ctx, want)
		if err == nil {
			return nil
		}
		if apierrors.IsAlreadyExists(err) {
			// The cache lags, or it is somebody's without the label.
			err = c.live.Get(ctx, key, have)
		}
	}
	if err != nil {
		return fmt.Errorf("granting Secrets by %T %s: %w", want, key, err)
	}
	_, labelled := have.GetLabels()[Label]
	if same() && labelled {
		return nil
	}
	if !labelled {
		labels := have.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[Label] = ""
		have.SetLabels(labels)
	}
	if err := c.live.Update(ctx, have); err != nil {
		return fmt.Errorf("granting Secrets by %T %s: %w", want, key, err)
	}
	return nil
}

// revoke removes what is there.
func (c *Controller) revoke(ctx context.Context, at place) error {
	for _, o := range []client.Object{&rbacv1.RoleBinding{ObjectMeta: meta(at)}, &rbacv1.Role{ObjectMeta: meta(at)}} {
		key := client.ObjectKeyFromObject(o)
		err := c.cached.Get(ctx, key, o)
		if err == nil {
			uid := o.GetUID()
			err = c.live.Delete(ctx, o, client.Preconditions{UID: &uid})
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("withdrawing Secrets by %T %s: %w", o, key, err)
		}
	}
	return nil
}
