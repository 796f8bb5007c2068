package cluster

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/virtctl/failure"
)

// Follower is told of objects until it has seen enough or fails.
type Follower struct {
	// Synced is told once what is there.
	Synced func(there []client.Object) (bool, error)
	// Changed is told of each object as it is there and as it changes, and with
	// gone of one that has been deleted. It may be told the same twice.
	Changed func(obj client.Object, gone bool) (bool, error)
}

// Follow watches the objects of list's kind that at selects until f has seen
// enough. A watch that closes, and an API server that goes away for a while, is
// taken up again; only where the caller may not watch, or there is no such kind,
// that is the end of it. When ctx ends, its cause is returned.
func Follow(ctx context.Context, c client.WithWatch, list client.ObjectList, object client.Object, at client.ListOptions, f Follower) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	final := func(err error) error {
		if err != nil && failure.Final(err) {
			cancel(failure.API(err, "watching"))
		}
		return err
	}
	options := func(raw metav1.ListOptions) *client.ListOptions {
		o := at
		o.Raw = &raw
		return &o
	}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
			all := list.DeepCopyObject().(client.ObjectList)
			o := options(raw)
			o.Limit, o.Continue = raw.Limit, raw.Continue
			return all, final(c.List(ctx, all, o))
		},
		WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
			raw.Watch = true
			w, err := c.Watch(ctx, list.DeepCopyObject().(client.ObjectList), options(raw))
			return w, final(err)
		},
	}
	var said error
	_, err := watchtools.UntilWithSync(ctx, lw, object,
		func(store cache.Store) (bool, error) {
			var there []client.Object
			for _, o := range store.List() {
				there = append(there, o.(client.Object))
			}
			done, err := f.Synced(there)
			said = err
			return done, err
		},
		func(event watch.Event) (bool, error) {
			obj, ok := event.Object.(client.Object)
			if !ok || event.Type == watch.Bookmark {
				return false, nil
			}
			done, err := f.Changed(obj, event.Type == watch.Deleted)
			said = err
			return done, err
		})
	switch {
	case said != nil:
		return said
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return failure.API(errors.Unwrap(err), "watching")
	}
	return nil
}
