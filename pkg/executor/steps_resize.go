package executor

import (
	"context"
	"errors"
	"fmt"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// resizeStep carries out one step of a guest's way to another size. What fails
// is tried again with back-off; what the host does not have, or cannot plug in,
// is refused.
func (a *Agent) resizeStep(ctx context.Context, step plan.Step, w *work, in *plan.Situation) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var err error
	switch step {
	case plan.StepTakeGrant:
		err = a.takeGrant(ctx, w, in)
	case plan.StepPlugCPUs:
		err = a.plugCPUs(ctx, w, in)
	case plan.StepSetMemory:
		target := plan.Leave(*in)
		w.memory.Balloon.Told(target, in.Now)
		err = a.host.SetMemory(ctx, in.VM.DomainUUID(), target)
	}
	switch {
	case err == nil:
		w.memory.Attempt = plan.Attempt{}
		in.Domain, err = a.look(ctx, in.VM.DomainUUID())
		return err
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrNotFound), errors.Is(err, plan.ErrNoted):
		return err
	}
	message := "giving the guest the size that is granted failed and is tried again: " + plan.CauseOf(err, in.VM)
	if errors.Is(err, libvirt.ErrTimeout) {
		message += "; " + plan.EndsHanging(in.VM)
	}
	f := plan.Failure{Reason: v1alpha1.ReasonResizeFailed, Message: message}
	w.memory.Attempt.Note(step, f, in.Now)
	a.tell.resizeFailed(in.VM, f)
	return plan.ErrNoted
}

// roomyCache is the least translation cache, in bytes, with which an emulated guest
// is given another vCPU. QEMU 7.2 gives each vCPU a region of the cache of its own
// when it is plugged in, and aborts where all are in use (assertion in
// tcg_region_initial_alloc__locked): 32 MiB are mostly in use once a Linux guest has
// booted. QEMU makes 8 regions for each vCPU that the guest may have.
const roomyCache = 256 << 20

// takeGrant has the domain's mark say what is granted, if the host has it: from
// then on the host accounts for it, whatever becomes of this process. The mark's
// record follows, as if the guest had been started with that.
func (a *Agent) takeGrant(ctx context.Context, w *work, in *plan.Situation) error {
	vm, d, to := in.VM, in.Domain, plan.Due(*in)
	mark := d.Ownership
	if to.CPU > mark.Granted.CPU || to.Memory > mark.Granted.Memory {
		if int64(to.CPU) > d.CPU || to.Memory > d.Memory {
			return a.refuse(w, in, v1alpha1.ReasonGrowthFailed, fmt.Sprintf("the guest was started for at most %s and %s of memory", vcpus(d.CPU), capacity.Bytes(d.Memory)))
		}
		if to.CPU > mark.Granted.CPU && d.TranslationCache > 0 && d.TranslationCache < roomyCache {
			return a.refuse(w, in, v1alpha1.ReasonGrowthFailed, fmt.Sprintf("a guest without KVM may not survive another vCPU: QEMU has %s for its translated code (spec.domain.features.tcg.tbCache), and %s are needed; restart it to have the vCPUs",
				capacity.Bytes(d.TranslationCache), capacity.Bytes(roomyCache)))
		}
		placement := mark.Placement(in.Node)
		placement.Granted.CPU, placement.Granted.Memory = max(to.CPU, mark.Granted.CPU), max(to.Memory, mark.Granted.Memory)
		defer a.registry.release(d.UUID) // from the look on, the mark itself counts
		// Its hugepages are its own already: they are not looked for among the free.
		short, err := a.registry.reserve(d.UUID, placement)
		switch {
		case err != nil:
			return err
		case short != nil:
			return a.refuse(w, in, v1alpha1.ReasonHostUnfit, fmt.Sprintf("the host is full: %s", short))
		}
	}
	mark.Granted.CPU, mark.Granted.Memory = to.CPU, to.Memory
	mark.Spec = mark.Spec.Resized(to)
	if changed, known := mark.Spec.Changed(&vm.Spec); known && len(changed) == 0 {
		mark.Generation = vm.Generation
	}
	if err := a.host.SetMetadata(ctx, d.UUID, mark.Element(), convert.OwnershipPrefix, convert.OwnershipNamespace); err != nil {
		return err
	}
	a.tell.resized(vm, to)
	var err error
	in.Domain, err = a.look(ctx, d.UUID)
	return err
}

// plugCPUs plugs in the vCPUs that the mark says the guest is to have. Where
// libvirt cannot, the grant is given back as far as it was not used.
func (a *Agent) plugCPUs(ctx context.Context, w *work, in *plan.Situation) error {
	uuid := in.VM.DomainUUID()
	err := a.host.SetVCPUs(ctx, uuid, int64(in.Domain.Ownership.Granted.CPU))
	wake(a.pinsChanged)
	if err == nil || errors.Is(err, libvirt.ErrUnavailable) || errors.Is(err, libvirt.ErrNotFound) || errors.Is(err, libvirt.ErrTimeout) {
		return err
	}
	d, again := a.look(ctx, uuid)
	if again != nil {
		return again
	}
	in.Domain = d
	if d == nil || !d.State.Active() || d.VCPUs >= int64(d.Ownership.Granted.CPU) {
		return nil // it has ended meanwhile, or has them all the same
	}
	return a.refuse(w, in, v1alpha1.ReasonGrowthFailed, fmt.Sprintf("the guest could be given no more than %s: %s", vcpus(d.VCPUs), plan.CauseOf(err, in.VM)))
}

// refuse notes that the host does not let the guest grow to what is granted, and
// what it holds instead, for the report.
func (a *Agent) refuse(w *work, in *plan.Situation, reason, message string) error {
	granted, held := in.VM.Status.Placement.Granted.Size(), in.Domain.Ownership.Granted.Size()
	held.CPU = min(held.CPU, max(int32(in.Domain.VCPUs), 1))
	held.CPU, held.Memory = min(held.CPU, granted.CPU), min(held.Memory, granted.Memory)
	w.memory.Refused = &v1alpha1.GrowthRefusal{Granted: granted, Held: held, Reason: reason, Message: message}
	a.tell.resizeFailed(in.VM, plan.Failure{Reason: reason, Message: "the guest does not grow: " + message})
	return nil
}
