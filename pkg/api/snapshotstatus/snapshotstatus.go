// Package snapshotstatus writes a VirtualMachineSnapshot's status: one JSON patch a
// write, on an object that nobody has changed since it was read. Two write it, the
// scheduler's leader and the snapshot's host, and both seldom.
package snapshotstatus

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
var ErrStale = errors.New("the VirtualMachineSnapshot has changed since it was read")

// ErrUnknown says of a write that nobody knows whether it was stored.
var ErrUnknown = errors.New("it is not known whether the write was stored")

// Write stores what change makes of the status of observed, which is not changed
// itself, and returns the object as stored. Where nothing differs nothing is
// written. Errors: ErrStale, NotFound, anything else as the API server said it.
func Write(ctx context.Context, c client.Client, observed *v1alpha1.VirtualMachineSnapshot, change func(*v1alpha1.VirtualMachineSnapshotStatus)) (*v1alpha1.VirtualMachineSnapshot, error) {
	next := observed.Status.DeepCopy()
	change(next)
	if equality.Semantic.DeepEqual(&observed.Status, next) {
		return observed, nil
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": observed.UID},
		{"op": "test", "path": "/metadata/resourceVersion", "value": observed.ResourceVersion},
		{"op": "add", "path": "/status", "value": withConditions(next)},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the status of VirtualMachineSnapshot %s/%s: %w", observed.Namespace, observed.Name, err)
	}
	out := &v1alpha1.VirtualMachineSnapshot{}
	out.Namespace, out.Name = observed.Namespace, observed.Name
	if err := c.Status().Patch(ctx, out, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return nil, fmt.Errorf("writing status of VirtualMachineSnapshot %s/%s: %w", observed.Namespace, observed.Name, stale(err))
	}
	return out, nil
}

// SetFinalizers stores the list of finalizers, and returns the object as stored.
// Errors: those of Write.
func SetFinalizers(ctx context.Context, c client.Client, observed *v1alpha1.VirtualMachineSnapshot, finalizers []string) (*v1alpha1.VirtualMachineSnapshot, error) {
	if finalizers == nil {
		finalizers = []string{}
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": observed.UID},
		{"op": "test", "path": "/metadata/resourceVersion", "value": observed.ResourceVersion},
		{"op": "add", "path": "/metadata/finalizers", "value": finalizers},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the finalizers of VirtualMachineSnapshot %s/%s: %w", observed.Namespace, observed.Name, err)
	}
	out := &v1alpha1.VirtualMachineSnapshot{}
	out.Namespace, out.Name = observed.Namespace, observed.Name
	if err := c.Patch(ctx, out, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return nil, fmt.Errorf("writing finalizers of VirtualMachineSnapshot %s/%s: %w", observed.Namespace, observed.Name, stale(err))
	}
	return out, nil
}

// withConditions is the status with a list of conditions, which the schema
// requires to be one.
func withConditions(s *v1alpha1.VirtualMachineSnapshotStatus) any {
	if len(s.Conditions) > 0 {
		return s
	}
	data, _ := json.Marshal(s) // strings, numbers and times
	var out map[string]any
	_ = json.Unmarshal(data, &out)
	out["conditions"] = []any{}
	return out
}

// stale is ErrStale for the refusal of a patch of which a test failed.
func stale(err error) error {
	var status apierrors.APIStatus
	if apierrors.IsConflict(err) || errors.As(err, &status) && status.Status().Code == http.StatusUnprocessableEntity {
		return fmt.Errorf("%w (%w)", ErrStale, err)
	}
	return err
}
