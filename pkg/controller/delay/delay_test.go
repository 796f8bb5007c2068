package delay

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// noted remembers what was to be queued when.
type noted struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	after map[string]time.Duration
}

func (n *noted) AddAfter(r reconcile.Request, d time.Duration) { n.after[r.String()] = d }

func pod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

// both are two names for one object.
func both(o client.Object) []string { return []string{o.GetName() + "-1", o.GetName() + "-2"} }

func none(client.Object) []string { return nil }

func TestWhatIsQueued(t *testing.T) {
	for name, test := range map[string]struct {
		handler                   handler.Funcs
		created, updated, deleted map[string]time.Duration
	}{
		"changes, by its own name": {
			handler: Changes(time.Minute, Own),
			created: map[string]time.Duration{"ns/new": time.Minute}, updated: map[string]time.Duration{"ns/after": time.Minute}, deleted: map[string]time.Duration{},
		},
		"deletions too, and several names": {
			handler: ChangesAndDeletions(time.Second, both),
			created: map[string]time.Duration{"ns/new-1": time.Second, "ns/new-2": time.Second},
			updated: map[string]time.Duration{"ns/after-1": time.Second, "ns/after-2": time.Second},
			deleted: map[string]time.Duration{"ns/gone-1": time.Second, "ns/gone-2": time.Second},
		},
		"objects that concern nobody": {
			handler: ChangesAndDeletions(time.Second, none),
			created: map[string]time.Duration{}, updated: map[string]time.Duration{}, deleted: map[string]time.Duration{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			queued := func(event func(context.Context, queue)) map[string]time.Duration {
				q := &noted{after: map[string]time.Duration{}}
				event(t.Context(), q)
				return q.after
			}
			h := test.handler
			if diff := cmp.Diff(test.created, queued(func(ctx context.Context, q queue) { h.Create(ctx, event.CreateEvent{Object: pod("new")}, q) })); diff != "" {
				t.Errorf("created (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.updated, queued(func(ctx context.Context, q queue) {
				h.Update(ctx, event.UpdateEvent{ObjectOld: pod("before"), ObjectNew: pod("after")}, q)
			})); diff != "" {
				t.Errorf("updated (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.deleted, queued(func(ctx context.Context, q queue) { h.Delete(ctx, event.DeleteEvent{Object: pod("gone")}, q) })); diff != "" {
				t.Errorf("deleted (-want +got):\n%s", diff)
			}
		})
	}
}
