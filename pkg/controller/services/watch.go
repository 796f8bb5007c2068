package services

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// batch is how long after a VM's change its Services are looked at: many change at
	// the same time, and it is written once for all.
	batch = 200 * time.Millisecond
	// batchSlices is the same of slices: those that were written here come back.
	batchSlices = time.Second
)

// byMark indexes Services that lead to VMs.
const byMark = "domus.dev/vm-selector"

func indexMark(o client.Object) []string {
	if s, ok := o.(*corev1.Service); ok && marked(s) {
		return []string{""}
	}
	return nil
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// ofServices queues a Service that leads to VMs, or has until now. One that is there
// when this process starts is marked, or has slices that are.
func ofServices() handler.Funcs {
	add := func(q queue, o client.Object) {
		if s, ok := o.(*corev1.Service); ok && marked(s) {
			q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(q, e.Object) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			add(q, e.ObjectOld)
			add(q, e.ObjectNew)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { add(q, e.Object) },
	}
}

// ofSlices queues the Service of a slice that was written.
func (c *Controller) ofSlices() handler.Funcs {
	add := func(q queue, o client.Object) {
		if name := o.GetLabels()[discoveryv1.LabelServiceName]; name != "" {
			q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}, batchSlices)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			if s, ok := e.Object.(*discoveryv1.EndpointSlice); ok && c.written.ShouldSync(s) {
				add(q, s)
			}
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			if s, ok := e.ObjectNew.(*discoveryv1.EndpointSlice); ok && c.written.ShouldSync(s) {
				add(q, e.ObjectOld)
				add(q, s)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			if s, ok := e.Object.(*discoveryv1.EndpointSlice); ok && (!c.written.Has(s) || !c.written.HandleDeletion(s)) {
				add(q, s)
			}
		},
	}
}

// ofVMs queues the Services whose selectors match the VM, or did before it changed.
func (c *Controller) ofVMs() handler.Funcs {
	add := func(ctx context.Context, q queue, namespace string, of ...map[string]string) {
		for _, s := range c.marked(ctx, namespace) {
			m, err := read(&s)
			if err != nil {
				continue
			}
			for _, l := range of {
				if m.selector.Matches(labels.Set(l)) {
					q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)}, batch)
				}
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			add(ctx, q, e.Object.GetNamespace(), e.Object.GetLabels())
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, ok := e.ObjectOld.(*v1alpha1.VirtualMachine)
			is, ok2 := e.ObjectNew.(*v1alpha1.VirtualMachine)
			if ok && ok2 && !alike(was, is) {
				add(ctx, q, is.Namespace, was.Labels, is.Labels)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			add(ctx, q, e.Object.GetNamespace(), e.Object.GetLabels())
		},
	}
}

// ofNetworks queues the Services of a namespace in which a network comes, goes or has
// other subnets.
func (c *Controller) ofNetworks() handler.Funcs {
	add := func(ctx context.Context, q queue, namespace string) {
		for _, s := range c.marked(ctx, namespace) {
			q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)}, batch)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { add(ctx, q, e.Object.GetNamespace()) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
				add(ctx, q, e.ObjectNew.GetNamespace())
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { add(ctx, q, e.Object.GetNamespace()) },
	}
}

// ofNamespaces queues the Services of a namespace whose policy level changes.
func (c *Controller) ofNamespaces() handler.Funcs {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		if e.ObjectOld.GetLabels()[v1alpha1.PolicyLevelLabel] == e.ObjectNew.GetLabels()[v1alpha1.PolicyLevelLabel] {
			return
		}
		for _, s := range c.marked(ctx, e.ObjectNew.GetName()) {
			q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)}, batch)
		}
	}}
}

// ofNodes queues all Services when a Node comes to be in another zone, which is seldom.
// For one that is missing a Service is tried again.
func (c *Controller) ofNodes() handler.Funcs {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		if e.ObjectOld.GetLabels()[corev1.LabelTopologyZone] == e.ObjectNew.GetLabels()[corev1.LabelTopologyZone] {
			return
		}
		for _, s := range c.marked(ctx, "") {
			q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)}, batchSlices)
		}
	}}
}

// marked lists the Services of the namespace, or of all, that lead to VMs.
func (c *Controller) marked(ctx context.Context, namespace string) []corev1.Service {
	list := &corev1.ServiceList{}
	if err := c.cached.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{byMark: ""}, client.UnsafeDisableDeepCopy); err != nil {
		// It is read from memory.
		log.FromContext(ctx).Error(err, "The Services that lead to VirtualMachines could not be listed")
	}
	return list.Items
}
