// Package delay lets reconcilers look at a change only after a while, so that
// what is written in several steps is judged when it is whole.
package delay

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Names are what a reconciler is asked to look at, in an object's namespace, when
// the object has changed.
type Names func(client.Object) []string

// Own is the object's own name.
func Own(o client.Object) []string { return []string{o.GetName()} }

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Changes queues the names of objects that appear or change for when the time has
// passed. Queueing one again before then is one look all the same.
func Changes(by time.Duration, names Names) handler.Funcs {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { names.enqueue(e.Object, q, by) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { names.enqueue(e.ObjectNew, q, by) },
	}
}

// ChangesAndDeletions is Changes also of objects that go.
func ChangesAndDeletions(by time.Duration, names Names) handler.Funcs {
	out := Changes(by, names)
	out.DeleteFunc = func(_ context.Context, e event.DeleteEvent, q queue) { names.enqueue(e.Object, q, by) }
	return out
}

func (n Names) enqueue(o client.Object, q queue, by time.Duration) {
	for _, name := range n(o) {
		q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}, by)
	}
}
