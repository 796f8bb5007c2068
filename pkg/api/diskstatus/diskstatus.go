// Package diskstatus writes a VirtualDisk's status: one JSON patch a write, on an
// object that nobody has changed since it was read. Two write it, the scheduler's
// leader and the disk's host, and both seldom.
package diskstatus

import (
	"context"
	"encoding/json"
	"errors"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/unchanged"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// ErrStale says that the object has changed since it was read, or is another one
// by now; nothing has been written. Read it again and decide anew.
var ErrStale = unchanged.ErrStale

// ErrUnknown says of a write that nobody knows whether it was stored.
var ErrUnknown = errors.New("it is not known whether the write was stored")

// Write stores what change makes of the status of observed, which is not changed
// itself, and returns the object as stored. Where nothing differs nothing is
// written. Errors: ErrStale, NotFound, anything else as the API server said it.
func Write(ctx context.Context, c client.Client, observed *v1alpha1.VirtualDisk, change func(*v1alpha1.VirtualDiskStatus)) (*v1alpha1.VirtualDisk, error) {
	next := observed.Status.DeepCopy()
	change(next)
	if equality.Semantic.DeepEqual(&observed.Status, next) {
		return observed, nil
	}
	return unchanged.Status(ctx, c, observed, withConditions(next))
}

// SetFinalizers stores the list of finalizers, and returns the object as stored.
// Errors: those of Write.
func SetFinalizers(ctx context.Context, c client.Client, observed *v1alpha1.VirtualDisk, finalizers []string) (*v1alpha1.VirtualDisk, error) {
	return unchanged.Finalizers(ctx, c, observed, finalizers)
}

// withConditions is the status with a list of conditions, which the schema
// requires to be one.
func withConditions(s *v1alpha1.VirtualDiskStatus) any {
	if len(s.Conditions) > 0 {
		return s
	}
	data, _ := json.Marshal(s) // strings, numbers and times
	var out map[string]any
	_ = json.Unmarshal(data, &out)
	out["conditions"] = []any{}
	return out
}
