package executor

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/vmtest"
	"domus.dev/domus/pkg/libvirt"
)

// operate does something to a guest that runs, and is counted like a change.
func (h *fakeHost) operate(what, uuid string) error {
	return h.change(what, func() error {
		switch d, ok := h.domains[uuid]; {
		case h.operateErr != nil:
			return h.operateErr
		case !ok:
			return libvirt.ErrNotFound
		case !d.State.Active():
			return libvirt.ErrWrongState
		}
		return nil
	})
}

func (h *fakeHost) Reset(_ context.Context, uuid string) error { return h.operate("reset", uuid) }

func (h *fakeHost) SendKey(_ context.Context, uuid string, _ []string, _ time.Duration) error {
	return h.operate("key", uuid)
}

func (h *fakeHost) Screenshot(_ context.Context, uuid string) (libvirt.Picture, error) {
	return h.picture, h.operate("screenshot", uuid)
}

func (h *fakeHost) SetPassword(_ context.Context, uuid, _, _ string) error {
	return h.operate("password", uuid)
}

func (h *fakeHost) AuthorizeKeys(_ context.Context, uuid, _ string, _ []string) error {
	return h.operate("ssh key", uuid)
}

// Counters grow with each reading.
func (h *fakeHost) Counters(_ context.Context, uuid string) (libvirt.Counters, error) {
	err := h.operate("counters", uuid)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counters.CPU += 500 * time.Millisecond
	h.counters.BlockRead += 4096
	return h.counters, err
}

// Of implements Operations by the API server itself.
func (c cacheOf) Of(ctx context.Context, vm types.NamespacedName) []*v1alpha1.VirtualMachineOperation {
	list := &v1alpha1.VirtualMachineOperationList{}
	_ = c.Reader.List(ctx, list, client.InNamespace(vm.Namespace))
	var out []*v1alpha1.VirtualMachineOperation
	for i := range list.Items {
		if op := &list.Items[i]; op.Spec.VirtualMachineName == vm.Name && op.Status.NodeName == vmtest.Node {
			out = append(out, op)
		}
	}
	slices.Reverse(out) // no order is promised
	return out
}
