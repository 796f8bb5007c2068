// Package imagestatus writes a VirtualDiskImage's status: one JSON patch a write, on
// an object that nobody has changed since it was read. Hosts write their entries,
// and the scheduler's leader the rest; all seldom.
package imagestatus

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/unchanged"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// ErrStale says that the object has changed since it was read, or is another one
// by now; nothing has been written. Read it again and decide anew.
var ErrStale = unchanged.ErrStale

// Write stores what change makes of the status of observed, which is not changed
// itself, and returns the object as stored. Where nothing differs nothing is
// written. Errors: ErrStale, NotFound, anything else as the API server said it.
func Write(ctx context.Context, c client.Client, observed *v1alpha1.VirtualDiskImage, change func(*v1alpha1.VirtualDiskImageStatus)) (*v1alpha1.VirtualDiskImage, error) {
	next := observed.Status.DeepCopy()
	change(next)
	if equality.Semantic.DeepEqual(&observed.Status, next) {
		return observed, nil
	}
	return unchanged.Status(ctx, c, observed, next)
}

// SetFinalizers stores the list of finalizers, and returns the object as stored.
// Errors: those of Write.
func SetFinalizers(ctx context.Context, c client.Client, observed *v1alpha1.VirtualDiskImage, finalizers []string) (*v1alpha1.VirtualDiskImage, error) {
	return unchanged.Finalizers(ctx, c, observed, finalizers)
}
