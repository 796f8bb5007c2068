package vmstatus

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

// ErrStale says that the VM is no longer what the writer decided about: it was
// unbound, bound, edited or recreated meanwhile. Look again and decide anew.
var ErrStale = errors.New("the VirtualMachine has moved on")

// attempts bounds how often a write is repeated because another writer changed
// the shared conditions between the read and the write.
const attempts = 5

// Writer writes VirtualMachine statuses.
type Writer struct {
	client client.Client
}

// New returns a Writer on c. It writes with c's Patch and, only when a patch
// was refused, reads with c's Get, which must therefore not be cached.
func New(c client.Client) *Writer { return &Writer{client: c} }

// Patch lets mutate change a copy of observed's status, sums its conditions up and
// writes the difference, if any, in one patch of the status subresource. It returns the
// object as stored (observed itself when nothing differed).
//
// Errors: ErrStale when UID, epoch or placement are no longer those observed;
// NotFound when the object is gone; anything else as the API server said it.
func (w *Writer) Patch(ctx context.Context, observed *v1alpha1.VirtualMachine, mutate func(*v1alpha1.VirtualMachineStatus)) (*v1alpha1.VirtualMachine, error) {
	return w.PatchGuarded(ctx, observed, Guard{}, mutate)
}

// PatchGuarded is Patch with further conditions; a guard that no longer holds
// is ErrStale.
func (w *Writer) PatchGuarded(ctx context.Context, observed *v1alpha1.VirtualMachine, guard Guard, mutate func(*v1alpha1.VirtualMachineStatus)) (*v1alpha1.VirtualMachine, error) {
	current := observed
	for try := 1; ; try++ {
		next := current.Status.DeepCopy()
		mutate(next)
		summarize(next)
		ops, err := Build(current, next, guard)
		if err != nil {
			return nil, err
		}
		if ops == nil {
			return current, nil
		}
		body, err := json.Marshal(ops)
		if err != nil {
			return nil, fmt.Errorf("encoding status patch: %w", err)
		}
		out := &v1alpha1.VirtualMachine{}
		out.Namespace, out.Name = observed.Namespace, observed.Name
		err = w.client.Status().Patch(ctx, out, client.RawPatch(types.JSONPatchType, body))
		switch {
		case err == nil:
			return out, nil
		case apierrors.IsNotFound(err):
			return nil, fmt.Errorf("writing status of VirtualMachine %s/%s: %w", observed.Namespace, observed.Name, err)
		case !refused(err):
			return nil, fmt.Errorf("writing status of VirtualMachine %s/%s: %w", observed.Namespace, observed.Name, err)
		}

		live := &v1alpha1.VirtualMachine{}
		if getErr := w.client.Get(ctx, client.ObjectKeyFromObject(observed), live); getErr != nil {
			return nil, fmt.Errorf("reading VirtualMachine %s/%s after a refused status write: %w", observed.Namespace, observed.Name, getErr)
		}
		if reason := moved(observed, live, guard); reason != "" {
			return nil, fmt.Errorf("writing status of VirtualMachine %s/%s: %s: %w", observed.Namespace, observed.Name, reason, ErrStale)
		}
		if try == attempts {
			return nil, fmt.Errorf("writing status of VirtualMachine %s/%s, tried %d times: %w", observed.Namespace, observed.Name, attempts, err)
		}
		current = live
	}
}

// refused says whether the API server turned the patch down for what the
// object holds: a failed test operation or a CEL rule (422), or a conflict.
func refused(err error) bool {
	return apierrors.IsConflict(err) || statusCode(err) == http.StatusUnprocessableEntity
}

func statusCode(err error) int32 {
	var s apierrors.APIStatus
	if errors.As(err, &s) {
		return s.Status().Code
	}
	return 0
}

// moved says in words how live is no longer what observed was, or "".
func moved(observed, live *v1alpha1.VirtualMachine, guard Guard) string {
	switch {
	case observed.UID != live.UID:
		return "it was deleted and created anew"
	case observed.Status.Epoch != live.Status.Epoch:
		return fmt.Sprintf("its epoch is %d, not %d", live.Status.Epoch, observed.Status.Epoch)
	case guard.Generation != 0 && live.Generation != guard.Generation:
		return fmt.Sprintf("its spec is generation %d, not %d", live.Generation, guard.Generation)
	case (observed.Status.Placement == nil) != (live.Status.Placement == nil):
		return "its placement has changed"
	}
	return ""
}
