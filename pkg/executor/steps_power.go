package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// saveGlance is how long a turn waits for a save to end, or to be aborted: most
	// do at once, and need no report of their own.
	saveGlance = time.Second
	// saveSlack is how much longer than it may a save is waited for: until then it
	// is aborted.
	saveSlack = 10 * time.Minute
)

// save is a save that goes on beside the turns of its VM.
type save struct {
	// give gives the save up: libvirt goes on with it, if it has begun.
	give context.CancelFunc
	// done is closed when it has ended, and err is what came of it then.
	done chan struct{}
	err  error
}

// ended says whether the save has ended, and waits a little for that.
func (s *save) ended(wait time.Duration) bool {
	select {
	case <-s.done:
		return true
	default:
	}
	if wait == 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.done:
		return true
	case <-timer.C:
		return false
	}
}

// halt pauses the guest, or lets it go on.
func (a *Agent) halt(ctx context.Context, step plan.Step, w *work, in *plan.Situation) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	vm, uuid := in.VM, in.VM.DomainUUID()
	do, reason, doing := a.host.Suspend, v1alpha1.ReasonPauseFailed, "pausing the guest"
	if step == plan.StepResume {
		do, reason, doing = a.host.Resume, v1alpha1.ReasonResumeFailed, "resuming the guest"
	}
	disk := step == plan.StepResume && in.Domain != nil && in.Domain.Reason == libvirt.ReasonDiskError
	if disk {
		// It may well stop again at the next write: that it goes on says nothing.
		r := plan.Paused(in.Domain)
		w.memory.Attempt.Note(step, plan.Failure{Reason: r.Reason, Message: r.Message}, in.Now)
		w.memory.DiskRetryAt = in.Now
	}
	err := do(ctx, uuid)
	switch {
	case err == nil && !disk:
		w.memory.Attempt = plan.Attempt{}
		if step == plan.StepResume {
			a.tell.resumed(vm)
		}
		return nil
	case err == nil:
		return nil
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrNotFound):
		return err
	case errors.Is(err, libvirt.ErrNeedsReset):
		w.memory.CannotGoOn, w.memory.Attempt = plan.CauseOf(err, vm), plan.Attempt{}
		return plan.ErrNoted
	case disk:
		klog.FromContext(ctx).Info("A guest whose disk is full could not be resumed", keyError, err.Error())
		return nil
	}
	f := plan.PowerFailure(reason, doing, err, vm)
	w.memory.Attempt.Note(step, f, in.Now)
	a.tell.failed(vm, f)
	return plan.ErrNoted
}

// beginSave has the guest's memory saved, beside the turns of its VM: those go on
// to watch it, and to end it when it takes too long or is not wanted any more.
func (a *Agent) beginSave(ctx context.Context, w *work, in *plan.Situation) error {
	if w.save != nil {
		return nil
	}
	vm, uuid := in.VM, in.VM.DomainUUID()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), plan.SaveTime(vm)+saveSlack)
	s := &save{give: cancel, done: make(chan struct{})}
	key := types.NamespacedName{Namespace: vm.Namespace, Name: vm.Name}
	a.occupied.save(key, true)
	w.save, w.memory.SaveSince, w.memory.SaveAsked, w.memory.Expected = s, in.Now, true, false
	go func() {
		defer cancel()
		s.err = a.host.Save(ctx, uuid)
		a.occupied.save(key, false)
		close(s.done)
		a.Enqueue(key)
	}()
	s.ended(a.saveGlance)
	return a.takeSave(w, in.VM, in.Now)
}

// takeSave takes over what came of a save, if it has ended.
func (a *Agent) takeSave(w *work, vm *v1alpha1.VirtualMachine, now time.Time) error {
	s := w.save
	if s == nil || !s.ended(0) {
		return nil
	}
	w.save = nil
	m := &w.memory
	if s.err == nil {
		m.Attempt = plan.Attempt{}
		return nil
	}
	m.Expected = true
	if errors.Is(s.err, libvirt.ErrUnavailable) || errors.Is(s.err, libvirt.ErrNotFound) {
		return s.err // which says nothing of the save
	}
	err := s.err
	if !m.AbortedAt.IsZero() {
		if m.AbortedAt.Sub(m.SaveSince) < plan.SaveTime(vm) {
			return nil // it was not wanted any more
		}
		err = fmt.Errorf("it took longer than %s and was given up", plan.SaveTime(vm))
	}
	f := plan.PowerFailure(v1alpha1.ReasonSuspendFailed, "saving the guest's memory", err, vm)
	m.Attempt.Note(plan.StepSave, f, now)
	a.tell.failed(vm, f)
	return nil
}

// abortSave ends a save. That it cannot be ended is remembered, and no error: the
// steps after it may end the guest.
func (a *Agent) abortSave(ctx context.Context, w *work, in *plan.Situation) error {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := a.host.AbortJob(ask, in.VM.DomainUUID())
	if errors.Is(err, libvirt.ErrUnavailable) {
		return err
	}
	w.memory.AbortedAt, w.memory.AbortError = in.Now, ""
	if err != nil {
		w.memory.AbortError = err.Error()
		klog.FromContext(ctx).Info("A save could not be ended", keyError, err.Error())
	}
	if w.save != nil {
		if !w.save.ended(a.saveGlance) {
			w.save.give() // it has not begun, or libvirt is stuck in it
			w.save.ended(a.saveGlance)
		}
		return a.takeSave(w, in.VM, in.Now)
	}
	return nil
}

// restoreFailure says what it means that a guest could not go on from its saved
// memory. It never gives the binding up: that would lose the memory.
func restoreFailure(err error, _ int, _ bool) (*plan.Rejection, *plan.Failure) {
	if errors.Is(err, libvirt.ErrUnavailable) || errors.Is(err, libvirt.ErrTimeout) || errors.Is(err, libvirt.ErrNotFound) {
		return nil, nil
	}
	return nil, &plan.Failure{Reason: v1alpha1.ReasonRestoreFailed, Message: "the guest cannot go on from its saved memory, which is kept, and is tried again; " +
		"to give the memory up and boot the guest anew, set spec.powerState to Stopped and, when the VM is, to Running: " + err.Error()}
}
