// Package imagestate says of VirtualDiskImages in sum what the hosts say of their
// copies, and holds those that disks stand on.
package imagestate

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

	"domus.dev/domus/pkg/api/imagestatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// Controller looks after the status of images. Disks that begin with none cost it
// nothing.
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

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	ofDisk := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		if d, ok := o.(*v1alpha1.VirtualDisk); ok && d.StandsOnImage() {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: d.Namespace, Name: d.ImageOf()}}}
		}
		return nil
	})
	ofHost := handler.Funcs{DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
		images := &v1alpha1.VirtualDiskImageList{}
		if c.cached.List(ctx, images, client.UnsafeDisableDeepCopy) != nil {
			return
		}
		for i := range images.Items {
			if has(&images.Items[i], e.Object.GetName()) {
				q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&images.Items[i])})
			}
		}
	}}
	return ctrl.NewControllerManagedBy(m).Named("image-state").
		For(&v1alpha1.VirtualDiskImage{}).
		Watches(&v1alpha1.VirtualDisk{}, ofDisk).
		Watches(&v1alpha1.Hypervisor{}, ofHost).
		Complete(c)
}

func has(image *v1alpha1.VirtualDiskImage, host string) bool {
	return slices.ContainsFunc(image.Status.Hosts, func(c v1alpha1.ImageCopy) bool { return c.NodeName == host })
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	image := &v1alpha1.VirtualDiskImage{}
	err := c.cached.Get(ctx, req.NamespacedName, image)
	if err == nil {
		if err = c.settle(ctx, image); err == nil && image.Spec.Source.Upload != nil && image.Status.NodeName == "" {
			return reconcile.Result{RequeueAfter: homeRetry}, nil
		}
	}
	if apierrors.IsNotFound(err) || errors.Is(err, imagestatus.ErrStale) {
		// Whoever was faster wakes us again.
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, err
}

func (c *Controller) settle(ctx context.Context, image *v1alpha1.VirtualDiskImage) error {
	disks := &v1alpha1.VirtualDiskList{}
	if err := c.cached.List(ctx, disks, client.InNamespace(image.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the VirtualDisks of namespace %s: %w", image.Namespace, err)
	}
	users := standing(image.Name, disks.Items)
	held := slices.Contains(image.Finalizers, v1alpha1.ImageFinalizer)
	switch {
	case image.DeletionTimestamp != nil && len(users) == 0:
		if !held {
			return nil
		}
		_, err := imagestatus.SetFinalizers(ctx, c.live, image, slices.DeleteFunc(slices.Clone(image.Finalizers), func(f string) bool { return f == v1alpha1.ImageFinalizer }))
		return err
	case image.DeletionTimestamp == nil && len(users) > 0 && !held:
		var err error
		if image, err = imagestatus.SetFinalizers(ctx, c.live, image, append(slices.Clone(image.Finalizers), v1alpha1.ImageFinalizer)); err != nil {
			return err
		}
	}
	home, err := c.home(ctx, image)
	if err != nil {
		return err
	}
	_, err = imagestatus.Write(ctx, c.live, image, func(s *v1alpha1.VirtualDiskImageStatus) {
		s.NodeName = home
		decide(s, image, users, func(host string) bool { return c.exists(ctx, host) }, metav1.NewTime(c.clock.Now()))
	})
	return err
}

// exists says whether there is such a host; one that cannot be asked for is not taken
// to be gone.
func (c *Controller) exists(ctx context.Context, host string) bool {
	return !apierrors.IsNotFound(c.cached.Get(ctx, types.NamespacedName{Name: host}, &v1alpha1.Hypervisor{}))
}
