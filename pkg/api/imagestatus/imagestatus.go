// Package imagestatus writes a VirtualDiskImage's status: one JSON patch a write, on
// an object that nobody has changed since it was read. Hosts write their entries,
// and the scheduler's leader the rest; all seldom.
package imagestatus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ErrStale says that the object has changed since it was read, or is another one
// by now; nothing has been written. Read it again and decide anew.
var ErrStale = errors.New("the VirtualDiskImage has changed since it was read")

// Write stores what change makes of the status of observed, which is not changed
// itself, and returns the object as stored. Where nothing differs nothing is
// written. Errors: ErrStale, NotFound, anything else as the API server said it.
func Write(ctx context.Context, c client.Client, observed *v1alpha1.VirtualDiskImage, change func(*v1alpha1.VirtualDiskImageStatus)) (*v1alpha1.VirtualDiskImage, error) {
	next := observed.Status.DeepCopy()
	change(next)
	if equality.Semantic.DeepEqual(&observed.Status, next) {
		return observed, nil
	}
	return patch(ctx, c.Status().Patch, observed, "status", "/status", next)
}

// SetFinalizers stores the list of finalizers, and returns the object as stored.
// Errors: those of Write.
func SetFinalizers(ctx context.Context, c client.Client, observed *v1alpha1.VirtualDiskImage, finalizers []string) (*v1alpha1.VirtualDiskImage, error) {
	if finalizers == nil {
		finalizers = []string{}
	}
	write := func(ctx context.Context, obj client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
		return c.Patch(ctx, obj, p)
	}
	return patch(ctx, write, observed, "finalizers", "/metadata/finalizers", finalizers)
}

func patch(ctx context.Context, write func(context.Context, client.Object, client.Patch, ...client.SubResourcePatchOption) error, observed *v1alpha1.VirtualDiskImage, what, path string, value any) (*v1alpha1.VirtualDiskImage, error) {
	data, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": observed.UID},
		{"op": "test", "path": "/metadata/resourceVersion", "value": observed.ResourceVersion},
		{"op": "add", "path": path, "value": value},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the %s of VirtualDiskImage %s/%s: %w", what, observed.Namespace, observed.Name, err)
	}
	out := &v1alpha1.VirtualDiskImage{}
	out.Namespace, out.Name = observed.Namespace, observed.Name
	if err := write(ctx, out, client.RawPatch(types.JSONPatchType, data)); err != nil {
		return nil, fmt.Errorf("writing the %s of VirtualDiskImage %s/%s: %w", what, observed.Namespace, observed.Name, stale(err))
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
