package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// maxDefines is how often a domain is defined anew, in one start, because the
// CPUs that guests share have changed meanwhile.
const maxDefines = 3

// do carries out one step. It returns a *Rejection when the binding cannot be
// carried out here.
func (a *Agent) do(ctx context.Context, step plan.Step, w *work, in *plan.Situation) error {
	vm := in.VM
	uuid := vm.DomainUUID()
	change, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	switch step {
	case plan.StepDefine:
		return a.define(ctx, w, in)
	case plan.StepStart:
		release, ok := a.networks.Hold(in.Networks.Cards)
		if !ok {
			return errNetworkMoves(vm)
		}
		defer release()
		return a.start(change, w, in)
	case plan.StepAskShutdown:
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
	case plan.StepSuspend, plan.StepResume:
		return a.halt(ctx, step, w, in)
	case plan.StepTakeGrant, plan.StepPlugCPUs, plan.StepSetMemory:
		return a.resizeStep(ctx, step, w, in)
	case plan.StepPlugCard:
		return a.plugCard(ctx, w, in)
	case plan.StepTakeCards:
		return a.takeCards(ctx, in)
	case plan.StepPlug:
		return a.plugStep(ctx, w, in)
	case plan.StepTakeDisks:
		return a.takeDisks(ctx, in)
	case plan.StepGiveBack:
		return a.giveDisksBack(ctx, in)
	case plan.StepSave:
		return a.beginSave(ctx, w, in)
	case plan.StepAbortSave:
		return a.abortSave(ctx, w, in)
	case plan.StepDiscardSave:
		if err := a.host.DiscardSave(change, uuid); err != nil {
			return err
		}
		a.tell.discarded(vm)
		return nil
	case plan.StepDestroy:
		w.memory.Expected = false
		destroy, cancel := context.WithTimeout(ctx, destroyTimeout)
		defer cancel()
		return a.host.Destroy(destroy, uuid)
	case plan.StepEndDead:
		destroy, cancel := context.WithTimeout(ctx, destroyTimeout)
		defer cancel()
		w.memory.Expected = true // what becomes of it is for spec.runPolicy to say
		return a.host.Destroy(destroy, uuid)
	case plan.StepUndefine:
		saved, kept := in.Domain != nil && in.Domain.Saved, ""
		if in.Domain != nil && vm.DeletionTimestamp == nil {
			kept = plan.LostWith(in.Domain.Firmware)
		}
		if err := a.undefine(change, w, in); err != nil {
			return err
		}
		a.tell.removed(vm, saved)
		a.tell.firmwareLost(vm, kept)
		return nil
	case plan.StepRemoveFinalizer:
		if err := errors.Join(a.removeConsoleLog(vm), a.seeds.remove(vm.UID)); err != nil {
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
	case plan.StepBeginRestore, plan.StepStartFromMemory, plan.StepEndRestore:
		return a.restoreStep(change, step, w, in)
	case plan.StepNoteEnd:
		f := plan.Failure{Reason: v1alpha1.ReasonGuestEnded, Message: plan.Evidence(*in, in.Domain.Reason).Words + "; it is started again after a while"}
		w.memory.Note(f, in.Now)
		a.tell.failed(vm, f)
		return nil
	}
	return fmt.Errorf("carrying out step %q: there is no such step", step)
}

// undefine removes the domain.
func (a *Agent) undefine(ctx context.Context, w *work, in *plan.Situation) error {
	uuid := in.VM.DomainUUID()
	if err := a.host.Undefine(ctx, uuid); err != nil {
		return err
	}
	a.registry.remove(uuid)
	wake(a.pinsChanged)
	in.Domain, w.memory = nil, plan.Memory{}
	return a.seeds.remove(in.VM.UID)
}

// start starts the domain, once no other guest of ours runs on CPUs that it has
// to itself. A failure that is to be tried again is remembered, and no error.
func (a *Agent) start(ctx context.Context, w *work, in *plan.Situation) error {
	uuid := in.VM.DomainUUID()
	saved := in.Domain != nil && in.Domain.Saved
	if err := a.beginStart(ctx, w, in, saved); err != nil {
		return err
	}
	told := a.clock.Now()
	judge, err := a.boot(ctx, w, in, saved)
	now := a.clock.Now()
	w.memory.Starting = errors.Is(err, libvirt.ErrTimeout)
	if err == nil {
		w.memory.Expected, w.memory.CannotGoOn = true, ""
		w.memory.StopAskedAt, w.memory.LastAskedAt = time.Time{}, time.Time{}
		if saved && ran(in.VM) {
			w.memory.StartedAt = time.Time{} // as was reported: it goes on
			a.tell.restored(in.VM)
			return nil
		}
		w.memory.StartedAt = now
		a.tell.started(in.VM)
		return nil
	}
	if !errors.Is(err, libvirt.ErrTimeout) { // which may yet start
		a.registry.end(uuid)
	}
	rejection, failure := judge(err, w.memory.Failures+1, ran(in.VM))
	switch {
	case rejection != nil:
		rejection.Message = withLastWords(rejection.Message, a.lastWords(ctx, in.VM.DomainName(), told))
		return rejection
	case failure != nil:
		failure.Message = withLastWords(failure.Message, a.lastWords(ctx, in.VM.DomainName(), told))
		w.memory.Note(*failure, now)
		a.tell.failed(in.VM, *failure)
		return nil
	}
	return err
}

// beginStart makes ready for a start, up to telling libvirt.
func (a *Agent) beginStart(ctx context.Context, w *work, in *plan.Situation, saved bool) error {
	uuid := in.VM.DomainUUID()
	if saved {
		a.registry.goOn(uuid)
		return nil
	}
	for attempt := 0; !a.registry.begin(uuid); attempt++ {
		if attempt == maxDefines {
			return fmt.Errorf("starting domain %s: the CPUs that guests share keep changing", uuid)
		}
		if err := a.define(ctx, w, in); err != nil {
			return err
		}
	}
	return nil
}

// announce tells that the guest is about to be started, where it matters whether
// it ran: that must be known although this process ends before the guest is seen.
func (a *Agent) announce(ctx context.Context, w *work, in *plan.Situation) error {
	if plan.StartsAgain(in.VM.Spec.RunPolicy, v1alpha1.ReasonGuestShutDown) {
		return nil
	}
	err := a.report(ctx, w, *in, plan.Report{State: v1alpha1.HostStopped, Reason: v1alpha1.ReasonStarting, Message: "the guest is about to be started"})
	if err != nil {
		return err
	}
	in.VM = w.newest
	return nil
}

// boot has libvirt start the domain, and returns how to judge what came of it.
func (a *Agent) boot(ctx context.Context, w *work, in *plan.Situation, saved bool) (func(err error, failures int, ran bool) (*plan.Rejection, *plan.Failure), error) {
	uuid := in.VM.DomainUUID()
	if err := a.clear(ctx, in); err != nil {
		if saved {
			return restoreFailure, err
		}
		return plan.ClearFailure, err
	}
	if saved {
		if err := a.host.CheckSave(ctx, uuid); err != nil {
			return restoreFailure, err
		}
		return restoreFailure, a.host.Start(ctx, uuid)
	}
	if err := a.announce(ctx, w, in); err != nil {
		return plan.SaysNothing, err
	}
	judge := plan.StartFailure
	if p := in.VM.Status.Placement; len(p.Cells)+len(p.Devices) > 0 {
		judge = plan.BoundStartFailure
	}
	return judge, a.host.Start(ctx, uuid)
}
