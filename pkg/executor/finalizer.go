package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

// addFinalizer returns the patch that stores the finalizer, guarded by what
// the decision was made on: the object, its binding, and the list as it was.
func addFinalizer(vm *v1alpha1.VirtualMachine) ([]byte, error) {
	ops := []map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": vm.UID},
		{"op": "test", "path": "/status/epoch", "value": vm.Status.Epoch},
	}
	if len(vm.Finalizers) == 0 {
		// There is no list to test: only an unchanged object surely has none.
		ops = append(ops,
			map[string]any{"op": "test", "path": "/metadata/resourceVersion", "value": vm.ResourceVersion},
			map[string]any{"op": "add", "path": "/metadata/finalizers", "value": []string{v1alpha1.DomainFinalizer}})
	} else {
		ops = append(ops, map[string]any{"op": "add", "path": "/metadata/finalizers/-", "value": v1alpha1.DomainFinalizer})
	}
	return json.Marshal(ops)
}

// removeFinalizer returns the patch that takes the finalizer away.
func removeFinalizer(vm *v1alpha1.VirtualMachine) ([]byte, error) {
	path := fmt.Sprintf("/metadata/finalizers/%d", slices.Index(vm.Finalizers, v1alpha1.DomainFinalizer))
	return json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": vm.UID},
		{"op": "test", "path": path, "value": v1alpha1.DomainFinalizer},
		{"op": "remove", "path": path},
	})
}

// patchVM sends a JSON patch of the object itself and returns it as stored. A
// test that fails is vmstatus.ErrStale: look again.
func patchVM(ctx context.Context, c client.Client, vm *v1alpha1.VirtualMachine, patch []byte) (*v1alpha1.VirtualMachine, error) {
	out := &v1alpha1.VirtualMachine{}
	out.Namespace, out.Name = vm.Namespace, vm.Name
	err := c.Patch(ctx, out, client.RawPatch(types.JSONPatchType, patch))
	if err == nil {
		return out, nil
	}
	var status apierrors.APIStatus
	if apierrors.IsConflict(err) || errors.As(err, &status) && status.Status().Code == http.StatusUnprocessableEntity {
		return nil, fmt.Errorf("%w (%w)", vmstatus.ErrStale, err)
	}
	return nil, err
}
