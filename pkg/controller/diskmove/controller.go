package diskmove

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// soon is when a move is tried again that somebody else's promise was quicker than.
const soon = time.Second

// Space is what pools have, as the scheduler counts it; see disklocality.Disks.
type Space interface {
	// Room is how many bytes of the host's pool nobody but the disk was promised.
	Room(disk types.UID, hv *v1alpha1.Hypervisor, pool string) int64
	// Hold promises so many bytes there to the disk, if there is room, until the disk
	// shows its target, or the returned function is called.
	Hold(disk *v1alpha1.VirtualDisk, hv *v1alpha1.Hypervisor, pool string, bytes int64) (giveBack func(), ok bool)
}

// Controller has disks moved. Those that are where they are wanted cost it nothing.
type Controller struct {
	cached client.Reader
	live   client.Client
	space  Space
	clock  clock.PassiveClock
}

// New returns a Controller that reads from cached and writes with live, which must
// not be cached.
func New(cached client.Reader, live client.Client, space Space, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, space: space, clock: clk}
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Register adds the controller to m: disks wake themselves, a VM that gives its
// host or its disks up wakes those, as does a snapshot that goes, and a host whose
// pools have changed wakes all that are to be moved.
func (c *Controller) Register(m manager.Manager) error {
	return ctrl.NewControllerManagedBy(m).
		Named("disk-move").
		For(&v1alpha1.VirtualDisk{}).
		Watches(&v1alpha1.VirtualMachine{}, handler.Funcs{
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
				before, ok := e.ObjectOld.(*v1alpha1.VirtualMachine)
				if after, is := e.ObjectNew.(*v1alpha1.VirtualMachine); ok && is && before.Status.Placement != nil {
					released(before, after, q)
				}
			},
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
				if vm, ok := e.Object.(*v1alpha1.VirtualMachine); ok {
					released(vm, nil, q)
				}
			},
		}).
		Watches(&v1alpha1.VirtualMachineSnapshot{}, handler.Funcs{
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
				s, ok := e.Object.(*v1alpha1.VirtualMachineSnapshot)
				for i := 0; ok && i < len(s.Status.Disks); i++ {
					q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: s.Namespace, Name: s.Status.Disks[i].Name}})
				}
			},
		}).
		Watches(&v1alpha1.Hypervisor{}, handler.EnqueueRequestsFromMapFunc(c.toBeMoved)).
		Complete(c)
}

// released queues the disks of the VM as it was before that it does not have any
// more.
func released(before, after *v1alpha1.VirtualMachine, q queue) {
	for i := range before.Spec.Disks {
		name := before.Spec.Disks[i].DiskName
		if after == nil || after.Status.Placement == nil || !after.NamesDisk(name) {
			q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: before.Namespace, Name: name}})
		}
	}
}

// toBeMoved lists the disks that are not where they are wanted.
func (c *Controller) toBeMoved(ctx context.Context, _ client.Object) (out []reconcile.Request) {
	list := &v1alpha1.VirtualDiskList{}
	if c.cached.List(ctx, list, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	for i := range list.Items {
		d := &list.Items[i]
		if node, pool := d.Wanted(); d.Status.NodeName != "" && (node != d.Status.NodeName || pool != d.Pool()) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(d)})
		}
	}
	return out
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, r ctrl.Request) (ctrl.Result, error) {
	d := &v1alpha1.VirtualDisk{}
	if err := c.cached.Get(ctx, r.NamespacedName, d); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	v, err := c.look(ctx, d)
	if err != nil {
		return ctrl.Result{}, err
	}
	o := decide(v)
	if o.deed == begin {
		giveBack, ok := c.space.Hold(d, v.target, o.to.PoolName, d.Claim())
		if !ok {
			return ctrl.Result{RequeueAfter: soon}, nil // somebody was quicker
		}
		defer func() {
			if err != nil && !errors.Is(err, diskstatus.ErrUnknown) {
				giveBack()
			}
		}()
	}
	_, err = diskstatus.Write(ctx, c.live, d, func(s *v1alpha1.VirtualDiskStatus) {
		o.apply(s, d.Generation, metav1.NewTime(c.clock.Now()).Rfc3339Copy())
	})
	if errors.Is(err, diskstatus.ErrStale) || apierrors.IsNotFound(err) {
		return ctrl.Result{}, nil // what has changed is on its way here
	}
	return ctrl.Result{}, err
}

// look finds out what is decided by, as far as that matters.
func (c *Controller) look(ctx context.Context, d *v1alpha1.VirtualDisk) (view, error) {
	v := view{disk: d}
	node, pool := d.Wanted()
	if d.Status.NodeName == "" || node == d.Status.NodeName && pool == d.Pool() {
		return v, nil
	}
	hv := &v1alpha1.Hypervisor{}
	switch err := c.cached.Get(ctx, types.NamespacedName{Name: node}, hv); {
	case err == nil:
		v.target, v.room = hv, c.space.Room(d.UID, hv, pool)
	case !apierrors.IsNotFound(err):
		return v, fmt.Errorf("reading Hypervisor %s: %w", node, err)
	}
	if d.Status.MoveTo != nil {
		return v, nil
	}
	vms := &v1alpha1.VirtualMachineList{}
	if err := c.cached.List(ctx, vms, client.InNamespace(d.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return v, fmt.Errorf("reading who uses VirtualDisk %s/%s: %w", d.Namespace, d.Name, err)
	}
	for i := range vms.Items {
		if vm := &vms.Items[i]; vm.Status.Placement != nil && vm.NamesDisk(d.Name) {
			v.user = vm.Name
			break
		}
	}
	snapshots := &v1alpha1.VirtualMachineSnapshotList{}
	if err := c.cached.List(ctx, snapshots, client.InNamespace(d.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return v, fmt.Errorf("reading the snapshots in VirtualDisk %s/%s: %w", d.Namespace, d.Name, err)
	}
	for i := range snapshots.Items {
		if s := &snapshots.Items[i]; s.HasDisk(d.UID) {
			v.snapshot = s.Name
			break
		}
	}
	return v, nil
}
