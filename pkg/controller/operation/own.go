package operation

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ownWrites are operations as the controller's own writes left them: the cache may
// not have heard of those yet, and would have them repeated.
type ownWrites struct {
	mu sync.Mutex
	// of are the operations of each VM by their UID.
	of map[types.NamespacedName]map[types.UID]*v1alpha1.VirtualMachineOperation
}

func (w *ownWrites) wrote(op *v1alpha1.VirtualMachineOperation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	vm := types.NamespacedName{Namespace: op.Namespace, Name: op.Spec.VirtualMachineName}
	if w.of == nil {
		w.of = map[types.NamespacedName]map[types.UID]*v1alpha1.VirtualMachineOperation{}
	}
	if w.of[vm] == nil {
		w.of[vm] = map[types.UID]*v1alpha1.VirtualMachineOperation{}
	}
	w.of[vm][op.UID] = op
}

// newest puts what was written in the place of what the cache has of a VM's
// operations where that is older, and forgets the rest.
func (w *ownWrites) newest(vm types.NamespacedName, cached []v1alpha1.VirtualMachineOperation) []*v1alpha1.VirtualMachineOperation {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*v1alpha1.VirtualMachineOperation
	left := map[types.UID]*v1alpha1.VirtualMachineOperation{}
	for i := range cached {
		op := &cached[i]
		if own := w.of[vm][op.UID]; own != nil {
			if order, err := resourceversion.CompareResourceVersion(op.ResourceVersion, own.ResourceVersion); err == nil && order < 0 {
				op, left[op.UID] = own, own
			}
		}
		out = append(out, op)
	}
	if len(left) == 0 {
		delete(w.of, vm)
	} else {
		w.of[vm] = left
	}
	return out
}
