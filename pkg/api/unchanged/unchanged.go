// Package unchanged writes to objects that nobody has changed since they were read:
// one JSON patch a write, which the API server refuses otherwise. It is for objects
// that are seldom written.
package unchanged

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrStale says that the object has changed since it was read, or is another one
// by now; nothing has been written. Read it again and decide anew.
var ErrStale = errors.New("the object has changed since it was read")

// object is a pointer to a kind's struct.
type object[T any] interface {
	*T
	client.Object
}

// Status stores the status, and returns the object as stored. Errors: ErrStale,
// NotFound, anything else as the API server said it.
func Status[T any, P object[T]](ctx context.Context, c client.Client, observed P, status any) (P, error) {
	return patch(func(out P, p client.Patch) error { return c.Status().Patch(ctx, out, p) }, observed, "status", "/status", status)
}

// Finalizers stores the list of finalizers, and returns the object as stored.
// Errors: those of Status.
func Finalizers[T any, P object[T]](ctx context.Context, c client.Client, observed P, finalizers []string) (P, error) {
	if finalizers == nil {
		finalizers = []string{}
	}
	return patch(func(out P, p client.Patch) error { return c.Patch(ctx, out, p) }, observed, "finalizers", "/metadata/finalizers", finalizers)
}

func patch[T any, P object[T]](write func(P, client.Patch) error, observed P, what, path string, value any) (P, error) {
	of := fmt.Sprintf("%s of %s %s", what, reflect.TypeFor[T]().Name(), client.ObjectKeyFromObject(observed))
	data, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": observed.GetUID()},
		{"op": "test", "path": "/metadata/resourceVersion", "value": observed.GetResourceVersion()},
		{"op": "add", "path": path, "value": value},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the %s: %w", of, err)
	}
	out := P(new(T))
	out.SetNamespace(observed.GetNamespace())
	out.SetName(observed.GetName())
	if err := write(out, client.RawPatch(types.JSONPatchType, data)); err != nil {
		return nil, fmt.Errorf("writing the %s: %w", of, stale(err))
	}
	return out, nil
}

// stale is ErrStale for the refusal of a patch of which a test failed.
func stale(err error) error {
	var status apierrors.APIStatus
	if apierrors.IsConflict(err) || errors.As(err, &status) && status.Status().Code == http.StatusUnprocessableEntity {
		return fmt.Errorf("%w (%w)", ErrStale, err)
	}
	return err
}
