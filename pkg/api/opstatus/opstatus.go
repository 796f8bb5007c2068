// Package opstatus writes a VirtualMachineOperation's status: one JSON patch a
// write, guarded so that a writer whose view is old changes nothing.
package opstatus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ErrStale says that the operation is no longer what the writer decided about:
// it was assigned, begun, finished or deleted meanwhile.
var ErrStale = errors.New("the VirtualMachineOperation has moved on")

type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Write stores next as the status of what observed is, and returns the object as
// stored. It changes nothing unless the object, its phase and its host are those
// observed; of an operation that has no host yet nothing at all may have been
// changed. Errors: ErrStale, or as the API server said it.
func Write(ctx context.Context, c client.Client, observed *v1alpha1.VirtualMachineOperation, next v1alpha1.VirtualMachineOperationStatus) (*v1alpha1.VirtualMachineOperation, error) {
	ops := []patchOperation{
		{"test", "/metadata/uid", observed.UID},
		{"test", "/status/phase", observed.Status.Phase},
	}
	if observed.Status.NodeName != "" {
		ops = append(ops, patchOperation{"test", "/status/nodeName", observed.Status.NodeName})
	} else {
		// That there is no host cannot be tested for.
		ops = append(ops, patchOperation{"test", "/metadata/resourceVersion", observed.ResourceVersion})
	}
	body, err := json.Marshal(append(ops, patchOperation{"add", "/status", next}))
	if err != nil {
		return nil, fmt.Errorf("encoding a status: %w", err)
	}
	out := &v1alpha1.VirtualMachineOperation{}
	out.Namespace, out.Name = observed.Namespace, observed.Name
	err = c.Status().Patch(ctx, out, client.RawPatch(types.JSONPatchType, body))
	if err == nil {
		return out, nil
	}
	err = fmt.Errorf("writing status of VirtualMachineOperation %s/%s: %w", observed.Namespace, observed.Name, err)
	if moved(err) {
		return nil, fmt.Errorf("%w: %w", ErrStale, err)
	}
	return nil, err
}

// moved says whether the API server refused a patch for what the object is now.
func moved(err error) bool {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return true
	}
	var s apierrors.APIStatus
	if !errors.As(err, &s) || s.Status().Code != http.StatusUnprocessableEntity {
		return false
	}
	// A test that failed; of a value that the schema refuses the causes are named.
	details := s.Status().Details
	return details == nil || len(details.Causes) == 0
}
