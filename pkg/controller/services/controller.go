package services

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	endpointsliceutil "k8s.io/endpointslice/util"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// workers bounds concurrent writes, as kube-controller-manager does for Services of
	// Pods.
	workers = 5
	// lag is how long the cache is given to see what was written here.
	lag = 200 * time.Millisecond
)

// Controller keeps the EndpointSlices of marked Services. Other Services cost it
// nothing.
type Controller struct {
	cached client.Reader
	live   client.Client
	clock  clock.PassiveClock
	events events.EventRecorder

	// written knows what the cache is still to see.
	written *endpointsliceutil.EndpointSliceTracker
	times   *endpointsliceutil.TriggerTimeTracker

	mu sync.Mutex
	// said is what was complained of last, by Service: an event is made of it when it
	// changes.
	said map[types.NamespacedName]complaint
}

// New returns a Controller that reads from cached, which has of EndpointSlices those
// of v1alpha1.SliceManager alone, and writes with live, which must not be cached.
func New(cached client.Reader, live client.Client, clk clock.PassiveClock) *Controller {
	return &Controller{
		cached: cached, live: live, clock: clk,
		written: endpointsliceutil.NewEndpointSliceTracker(), times: endpointsliceutil.NewTriggerTimeTracker(),
		said: map[types.NamespacedName]complaint{},
	}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	c.events = m.GetEventRecorder("vm-services")
	if err := m.GetFieldIndexer().IndexField(context.Background(), &corev1.Service{}, byMark, indexMark); err != nil {
		return fmt.Errorf("indexing Services: %w", err)
	}
	return ctrl.NewControllerManagedBy(m).Named("services").
		Watches(&corev1.Service{}, ofServices()).
		Watches(&v1alpha1.VirtualMachine{}, c.ofVMs()).
		Watches(&v1alpha1.VirtualNetwork{}, c.ofNetworks()).
		Watches(&corev1.Namespace{}, c.ofNamespaces()).
		Watches(&corev1.Node{}, c.ofNodes()).
		Watches(&discoveryv1.EndpointSlice{}, c.ofSlices()).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(c)
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	s := &corev1.Service{}
	err := c.cached.Get(ctx, req.NamespacedName, s)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading Service %s: %w", req, err)
	}
	if err != nil || !marked(s) {
		return reconcile.Result{}, c.clean(ctx, req.NamespacedName, true)
	}
	have, err := c.slices(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if c.written.StaleSlices(s, have) {
		return reconcile.Result{RequeueAfter: lag}, nil
	}
	in := situation{service: s, slices: have, nodes: nodes{ctx, c.cached}}
	var wrong complaint
	if in.mark, err = read(s); err != nil {
		// It selects nothing: what it led to may be somebody else's by now.
		wrong, in.mark.selector = complaint{reasonInvalid, err.Error()}, labels.Nothing()
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		c.complain(s, wrong)
		return reconcile.Result{}, c.clean(ctx, req.NamespacedName, false)
	}
	if err := c.look(ctx, &in); err != nil {
		return reconcile.Result{}, err
	}
	all, not := members(in)
	var again time.Duration
	if wrong.reason == "" {
		wrong, again = complain(in, all, not, c.clock.Now())
	}
	next, left := decide(in, all, c.times)
	err = c.write(ctx, s, next)
	switch {
	case err != nil && c.passes(err):
		return reconcile.Result{RequeueAfter: lag}, nil
	case err != nil:
		wrong = complaint{reasonWriteFailed, err.Error()}
	}
	c.complain(s, wrong)
	return reconcile.Result{RequeueAfter: again}, errors.Join(err, left)
}

// passes says whether the write failed since somebody else was faster: what is there
// now is on its way into the cache.
func (c *Controller) passes(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

// look reads what the Service's slices depend on.
func (c *Controller) look(ctx context.Context, in *situation) error {
	ns := in.service.Namespace
	list := &v1alpha1.VirtualMachineList{}
	if err := c.cached.List(ctx, list, client.InNamespace(ns), client.MatchingLabelsSelector{Selector: in.mark.selector}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the VirtualMachines of Service %s/%s: %w", ns, in.service.Name, err)
	}
	for i := range list.Items {
		in.vms = append(in.vms, &list.Items[i])
	}
	known := &v1alpha1.VirtualNetworkList{}
	if err := c.cached.List(ctx, known, client.InNamespace(ns), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the VirtualNetworks of namespace %s: %w", ns, err)
	}
	byName := make(map[string]*v1alpha1.VirtualNetwork, len(known.Items))
	for i := range known.Items {
		byName[known.Items[i].Name] = &known.Items[i]
	}
	in.networks = func(name string) *v1alpha1.VirtualNetwork { return byName[name] }
	namespace := &corev1.Namespace{}
	if err := c.cached.Get(ctx, types.NamespacedName{Name: ns}, namespace); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading namespace %s: %w", ns, err)
	}
	in.privileged = v1alpha1.PolicyLevel(namespace.Labels[v1alpha1.PolicyLevelLabel]) == v1alpha1.PolicyPrivileged
	return nil
}

// slices are those of the Service that are ours and not on their way out.
func (c *Controller) slices(ctx context.Context, service types.NamespacedName) ([]*discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	if err := c.cached.List(ctx, list, client.InNamespace(service.Namespace), ours(service.Name), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the EndpointSlices of Service %s: %w", service, err)
	}
	var out []*discoveryv1.EndpointSlice
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			out = append(out, &list.Items[i])
		}
	}
	return out, nil
}

func ours(service string) client.MatchingLabels {
	return client.MatchingLabels{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: v1alpha1.SliceManager}
}

// write makes the changes. Slices are removed last, so that no endpoint is away
// between two writes.
func (c *Controller) write(ctx context.Context, s *corev1.Service, next changes) error {
	for _, slice := range next.create {
		if err := c.live.Create(ctx, slice); err != nil {
			if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				return nil // all goes
			}
			return fmt.Errorf("creating an EndpointSlice of Service %s/%s: %w", s.Namespace, s.Name, err)
		}
		c.written.Update(slice)
	}
	for _, slice := range next.update {
		if err := c.live.Update(ctx, slice); err != nil {
			return fmt.Errorf("updating EndpointSlice %s/%s: %w", slice.Namespace, slice.Name, err)
		}
		c.written.Update(slice)
	}
	for _, slice := range next.remove {
		if err := c.remove(ctx, slice); err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) remove(ctx context.Context, slice *discoveryv1.EndpointSlice) error {
	uid := slice.UID
	if err := c.live.Delete(ctx, slice, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing EndpointSlice %s/%s: %w", slice.Namespace, slice.Name, err)
	}
	c.written.ExpectDeletion(slice)
	return nil
}

// clean removes the slices of a Service that is gone or leads to no VMs, whether or not
// somebody collects garbage; forget also what was complained of.
func (c *Controller) clean(ctx context.Context, service types.NamespacedName, forget bool) error {
	c.times.DeleteService(service.Namespace, service.Name)
	c.written.DeleteService(service.Namespace, service.Name)
	if forget {
		c.mu.Lock()
		delete(c.said, service)
		c.mu.Unlock()
	}
	have, err := c.slices(ctx, service)
	if err != nil {
		return err
	}
	for _, slice := range have {
		if err := c.remove(ctx, slice); err != nil && !c.passes(err) {
			return err
		}
	}
	c.written.DeleteService(service.Namespace, service.Name)
	return nil
}

// complain makes an event of what is wrong, when that is another thing than before.
func (c *Controller) complain(s *corev1.Service, what complaint) {
	key := client.ObjectKeyFromObject(s)
	c.mu.Lock()
	same := c.said[key] == what
	if what.reason == "" {
		delete(c.said, key)
	} else {
		c.said[key] = what
	}
	c.mu.Unlock()
	if !same && what.reason != "" {
		c.events.Eventf(s, nil, corev1.EventTypeWarning, what.reason, actionUpdateSlices, "%s", what.message)
	}
}

// nodes lists the cached Nodes for the library.
type nodes struct {
	ctx    context.Context
	cached client.Reader
}

// Get implements corelisters.NodeLister.
func (n nodes) Get(name string) (*corev1.Node, error) {
	node := &corev1.Node{}
	if err := n.cached.Get(n.ctx, types.NamespacedName{Name: name}, node, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	return node, nil
}

// List implements corelisters.NodeLister.
func (n nodes) List(selector labels.Selector) ([]*corev1.Node, error) {
	list := &corev1.NodeList{}
	if err := n.cached.List(n.ctx, list, client.MatchingLabelsSelector{Selector: selector}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	out := make([]*corev1.Node, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, nil
}
