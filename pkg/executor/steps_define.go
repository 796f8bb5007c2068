package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/pkg/policy"
)

// define checks and accepts the binding, stores the finalizer and defines the
// domain, in this order: whatever interrupts it, the object cannot vanish while
// a domain of it exists.
func (a *Agent) define(ctx context.Context, w *work, in *plan.Situation) error {
	vm := in.VM
	uuid := vm.DomainUUID()
	if in.Networks.Unfit != "" {
		return plan.Unfit("%s", in.Networks.Unfit)
	}
	xml, err := a.convert(ctx, vm, in.Operation, in.Disks.Volumes, in.Networks.Cards)
	if err != nil {
		return err
	}
	seed, err := a.prepareSeed(ctx, w, vm)
	if err != nil {
		return err
	}
	look, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	// A domain that is there holds its share already, unless more was granted since
	// its guest ended.
	if in.Domain == nil || !covers(in.Domain.Ownership.Granted, vm.Status.Placement.Granted) {
		defer func() {
			a.registry.release(uuid) // from put on, the domain itself counts
			wake(a.pinsChanged)
		}()
		if err := a.accept(look, uuid, *vm.Status.Placement); err != nil {
			return err
		}
	}
	if !slices.Contains(vm.Finalizers, v1alpha1.DomainFinalizer) {
		patch, err := addFinalizer(vm)
		if err != nil {
			return err
		}
		stored, err := patchVM(ctx, a.live, vm, patch)
		if err != nil {
			return fmt.Errorf("storing the finalizer of VirtualMachine %s/%s: %w", vm.Namespace, vm.Name, err)
		}
		in.VM = stored
		w.keep(stored, a.clock.Now())
	}
	if err := a.storeSeed(w, vm, seed); err != nil {
		return err
	}
	if err := a.host.Define(look, xml); err != nil {
		rejection, failure := plan.DefineFailure(err, w.memory.Failures+1, ran(vm))
		switch {
		case rejection != nil:
			return rejection
		case failure != nil:
			w.memory.Note(*failure, a.clock.Now())
			a.tell.failed(vm, *failure)
			return plan.ErrNoted
		}
		return err
	}
	in.Domain, err = a.look(ctx, uuid)
	return err
}

// accept reserves what is placed for the domain, or says what the host lacks
// for it.
func (a *Agent) accept(ctx context.Context, uuid string, placement v1alpha1.Placement) error {
	short, err := a.registry.reserve(uuid, placement)
	switch {
	case err != nil:
		return err
	case short != nil:
		return plan.Unfit("the host is full: %s", short)
	case placement.Granted.PageSize == "":
		return nil
	}
	free, err := a.host.FreePages(ctx)
	if err != nil {
		return err
	}
	if rejection := checkFreePages(free, placement); rejection != nil {
		return rejection
	}
	return nil
}

// ran says whether the guest has run in its present binding.
func ran(vm *v1alpha1.VirtualMachine) bool {
	host := plan.HostStatus(vm)
	return host != nil && host.StartedAt != nil
}

// convert makes the domain's document, for an operation if one asks for it, or
// says why it cannot be.
func (a *Agent) convert(ctx context.Context, vm *v1alpha1.VirtualMachine, op *plan.Request, disks map[string]convert.Volume, cards map[string]convert.Card) (string, error) {
	level, err := policyLevel(ctx, a.live, vm.Namespace)
	if err != nil {
		return "", err
	}
	if errs := policy.CheckVirtualMachine(vm, level); len(errs) > 0 {
		return "", plan.Invalid("%v", errs.ToAggregate())
	}
	description, known := a.registry.described()
	if !known {
		return "", fmt.Errorf("defining a domain: %w", libvirt.ErrUnavailable)
	}
	kind, err := a.host.DomainType(ctx, a.config.DomainType)
	if err != nil {
		return "", err
	}
	defaults := convert.HostDefaults{DomainType: kind, Arch: description.Arch}
	if !description.Simulated {
		defaults.ConsoleLog = a.consoleLog(vm)
	}
	input := convert.Input{VM: vm, ClusterID: a.clusterID, Host: defaults, SharedCPUs: a.registry.sharedCPUs(), Volumes: disks, Cards: cards}
	input.Seed = a.seedPath(vm)
	if op != nil {
		input.Operation = op.UID
	}
	domain, err := convert.Domain(input)
	var cannot *convert.InvalidError
	switch {
	case errors.As(err, &cannot):
		return "", plan.Invalid("%v", cannot)
	case err != nil:
		return "", err
	}
	if rejection := checkDomainType(description.DomainTypes, domain); rejection != nil {
		return "", rejection
	}
	text, err := convert.XML(vm, domain)
	if errors.As(err, &cannot) {
		return "", plan.Invalid("%v", cannot)
	}
	return text, err
}
