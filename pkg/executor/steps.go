package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/pkg/policy"
)

// maxDefines is how often a domain is defined anew, in one start, because the
// CPUs that guests share have changed meanwhile.
const maxDefines = 3

// do carries out one step. It returns a *Rejection when the binding cannot be
// carried out here.
func (a *Agent) do(ctx context.Context, step Step, w *work, in *Situation) error {
	vm := in.VM
	uuid := vm.DomainUUID()
	change, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	switch step {
	case StepDefine:
		return a.define(ctx, w, in)
	case StepStart:
		return a.start(change, w, in)
	case StepAskShutdown:
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		err := a.host.Shutdown(ask, uuid)
		if errors.Is(err, libvirt.ErrUnavailable) {
			return err
		}
		if err != nil {
			// A guest that cannot be asked is switched off when its time is over.
			klog.FromContext(ctx).Info("The guest could not be asked to shut down", keyError, err.Error())
		}
		w.memory.LastAskedAt = in.Now
		if w.memory.StopAskedAt.IsZero() {
			w.memory.StopAskedAt = in.Now
		}
		w.memory.Expected = false
		return nil
	case StepDestroy:
		w.memory.Expected = false
		destroy, cancel := context.WithTimeout(ctx, destroyTimeout)
		defer cancel()
		return a.host.Destroy(destroy, uuid)
	case StepUndefine:
		if err := a.undefine(change, w, in); err != nil {
			return err
		}
		a.tell.removed(vm)
		return nil
	case StepRemoveFinalizer:
		if err := a.removeConsoleLog(vm); err != nil {
			return err
		}
		patch, err := removeFinalizer(vm)
		if err != nil {
			return err
		}
		if _, err := patchVM(ctx, a.live, vm, patch); err != nil {
			return fmt.Errorf("removing the finalizer of VirtualMachine %s/%s: %w", vm.Namespace, vm.Name, err)
		}
		return nil
	case StepNoteEnd:
		f := Failure{Reason: v1alpha1.ReasonGuestEnded, Message: "the guest ended (" + in.Domain.Reason + ") and is started again after a while"}
		w.memory.note(f, in.Now)
		a.tell.failed(vm, f)
		return nil
	}
	return fmt.Errorf("carrying out step %q: there is no such step", step)
}

// undefine removes the domain.
func (a *Agent) undefine(ctx context.Context, w *work, in *Situation) error {
	uuid := in.VM.DomainUUID()
	if err := a.host.Undefine(ctx, uuid); err != nil {
		return err
	}
	a.registry.remove(uuid)
	wake(a.pinsChanged)
	in.Domain, w.memory = nil, Memory{}
	return nil
}

// define checks and accepts the binding, stores the finalizer and defines the
// domain, in this order: whatever interrupts it, the object cannot vanish while
// a domain of it exists.
func (a *Agent) define(ctx context.Context, w *work, in *Situation) error {
	vm := in.VM
	uuid := vm.DomainUUID()
	xml, err := a.convert(ctx, vm)
	if err != nil {
		return err
	}
	look, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if in.Domain == nil { // a domain that is there holds its share already
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
		in.VM, w.newest = stored, stored
	}
	if err := a.host.Define(look, xml); err != nil {
		rejection, failure := defineFailure(err, w.memory.Failures+1, ran(vm))
		switch {
		case rejection != nil:
			return rejection
		case failure != nil:
			w.memory.note(*failure, a.clock.Now())
			a.tell.failed(vm, *failure)
			return errNoted
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
		return unfit("the host is full: %s", short)
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
	host := hostStatus(vm)
	return host != nil && host.StartedAt != nil
}

// convert makes the domain's document, or says why it cannot be.
func (a *Agent) convert(ctx context.Context, vm *v1alpha1.VirtualMachine) (string, error) {
	level, err := policyLevel(ctx, a.live, vm.Namespace)
	if err != nil {
		return "", err
	}
	if errs := policy.CheckVirtualMachine(vm, level); len(errs) > 0 {
		return "", invalid("%v", errs.ToAggregate())
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
	domain, err := convert.Domain(convert.Input{VM: vm, ClusterID: a.clusterID, Host: defaults, SharedCPUs: a.registry.sharedCPUs()})
	var cannot *convert.InvalidError
	switch {
	case errors.As(err, &cannot):
		return "", invalid("%v", cannot)
	case err != nil:
		return "", err
	}
	if rejection := checkDomainType(description.DomainTypes, domain); rejection != nil {
		return "", rejection
	}
	return convert.Marshal(domain)
}

// start starts the domain, once no other guest of ours runs on CPUs that it has
// to itself. A failure that is to be tried again is remembered, and no error.
func (a *Agent) start(ctx context.Context, w *work, in *Situation) error {
	uuid := in.VM.DomainUUID()
	for attempt := 0; !a.registry.begin(uuid); attempt++ {
		if attempt == maxDefines {
			return fmt.Errorf("starting domain %s: the CPUs that guests share keep changing", uuid)
		}
		if err := a.define(ctx, w, in); err != nil {
			return err
		}
	}
	judge := clearFailure
	err := a.clear(ctx, in)
	if err == nil {
		judge = startFailure
		err = a.host.Start(ctx, uuid)
	}
	now := a.clock.Now()
	if err == nil {
		w.memory.StartedAt, w.memory.Expected = now, true
		w.memory.StopAskedAt, w.memory.LastAskedAt = time.Time{}, time.Time{}
		a.tell.started(in.VM)
		return nil
	}
	a.registry.end(uuid)
	rejection, failure := judge(err, w.memory.Failures+1, ran(in.VM))
	switch {
	case rejection != nil:
		return rejection
	case failure != nil:
		w.memory.note(*failure, now)
		a.tell.failed(in.VM, *failure)
		return nil
	}
	return err
}
