package binding

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/podless"
)

// Grow grants the VM, which is on node, what its spec of generation asks for more,
// for which room of those amounts is held. It is one write, as Bind is.
// vmstatus.ErrStale says that the VM does not ask for just that any more, or may
// not have it now; nothing has been written then.
func (b *Binder) Grow(ctx context.Context, vm v1alpha1.Owner, generation int64, node string, more capacity.Resources) error {
	obj, err := b.observed(ctx, vm)
	if err != nil {
		return err
	}
	stale := func(why string) error {
		return fmt.Errorf("growing VirtualMachine %s/%s on %s: %s: %w", vm.Namespace, vm.Name, node, why, vmstatus.ErrStale)
	}
	growth := podless.GrowthOf(obj)
	switch {
	case obj.Generation != generation:
		return stale(fmt.Sprintf("its spec is generation %d, room is held for %d", obj.Generation, generation))
	case growth == nil, growth.Needs != more, obj.Status.Placement.NodeName != node:
		return stale("it does not ask for that any more")
	}
	was := *obj.Status.Placement.DeepCopy()
	placement := *was.DeepCopy()
	placement.Granted = growth.Granted
	written := false
	err = b.status.Write(ctx, obj, vmstatus.Guard{Generation: generation}, func(s *v1alpha1.VirtualMachineStatus) {
		// Called again on a newer status where somebody else has written: what made
		// the growth possible must hold there too.
		now := obj.DeepCopy()
		now.Status = *s
		g := podless.GrowthOf(now)
		if written = g != nil && *g == *growth; !written {
			return
		}
		s.Placement = placement.DeepCopy()
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionResizePending)
	})
	switch {
	case err == nil && !written:
		return stale("something else has become of it")
	case err == nil:
		return nil
	case b.bound(ctx, vm, placement):
		return nil // as in Bind
	}
	return fmt.Errorf("growing on %s: %w", node, goneIfStale(err, vm))
}

// GrowthPending writes why a VM does not grow yet. One that does not want to grow
// to what its spec of the condition's generation says is left alone.
func (b *Binder) GrowthPending(ctx context.Context, vm v1alpha1.Owner, pending *metav1.Condition) error {
	obj, err := b.observed(ctx, vm)
	if err != nil {
		return err
	}
	if obj.Generation != pending.ObservedGeneration || podless.GrowthOf(obj) == nil {
		return nil
	}
	err = b.status.Write(ctx, obj, vmstatus.Guard{Generation: obj.Generation}, func(s *v1alpha1.VirtualMachineStatus) {
		now := obj.DeepCopy()
		now.Status = *s
		if podless.GrowthOf(now) != nil {
			meta.SetStatusCondition(&s.Conditions, *pending)
		}
	})
	return goneIfStale(err, vm)
}
