package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/executor/ownership"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// maxRounds bounds the looks of one turn; a start takes three.
	maxRounds = 10
	// lookTimeout is for calls that only read or that libvirt answers at once.
	lookTimeout = 30 * time.Second
	// changeTimeout is for starting: a guest with a lot of memory in hugepages
	// takes minutes.
	changeTimeout = 5 * time.Minute
	// askTimeout is for asking a guest to shut down: a QEMU that hangs does not
	// answer at all, and its grace period is running.
	askTimeout = 10 * time.Second
	// destroyTimeout is for switching a guest off, which libvirt does by force
	// after 10 s; others may be before it.
	destroyTimeout = time.Minute
	// watchLag is how long the watch may take to hear of our own write. One that
	// has not by then never will: the API server's data may have been restored
	// from a backup, and count its versions anew from an earlier one.
	watchLag = time.Minute
	// occupiedLook is when to look again at a VM of whose disks a snapshot is being
	// taken.
	occupiedLook = 5 * time.Second
)

// work is what the agent keeps for one VM between turns. Only the goroutine
// that has the VM's turn uses it.
type work struct {
	memory plan.Memory
	// newest is the object as our last write left it: the cache may not have
	// heard of that write yet, and would have us repeat it. keptAt is when.
	newest *v1alpha1.VirtualMachine
	keptAt time.Time
	// save is one that has not been taken over, if any.
	save *save
	seed seedWork
	// networks are those that the VM named at the last look.
	networks []string
}

// keep remembers an object that the watch may not have heard of. One that is
// kept already gets no more time for it.
func (w *work) keep(vm *v1alpha1.VirtualMachine, now time.Time) {
	if w.newest != nil && vm != nil && w.newest.UID == vm.UID && w.newest.ResourceVersion == vm.ResourceVersion {
		return
	}
	w.newest, w.keptAt = vm, now
}

// again is when to look again: as decided, and when the watch should have heard
// of what it has not.
func (w *work) again(decided time.Duration) time.Duration {
	if w.newest != nil && (decided == 0 || decided > watchLag) {
		return watchLag + time.Second
	}
	return decided
}

// turn brings one VM and its domain a step closer, and says when to look again.
func (a *Agent) turn(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	if !a.Ready() {
		return 0, nil // everything is looked at when libvirt has been listed
	}
	w := a.work(key)
	end, free := a.occupied.turn(key)
	defer end()
	vm, live := a.cachedVM(ctx, key, w), false
	for range maxRounds {
		if vm == nil && !live {
			var err error
			if vm, err = a.liveVM(ctx, key); err != nil {
				return 0, err
			}
			live = true
			w.keep(vm, a.clock.Now())
		}
		others := a.others(key, vm)
		if len(others) > 0 && !live {
			vm = nil
			continue
		}
		for _, uuid := range others {
			if err := a.lookAtOther(ctx, key, vm, uuid); err != nil {
				return 0, err
			}
		}
		in, err := a.situation(ctx, w, vm)
		if err != nil {
			return 0, err
		}
		if vm != nil && (in.Domain == nil || !in.Domain.State.Active()) && a.operations.goesFirst(ctx, vm) {
			a.EnqueueOperations(key)
			return operationGlance, nil
		}
		decision := plan.Decide(in)
		if !free {
			var may bool
			if decision, may = whileOccupied(decision); !may {
				return occupiedLook, nil // and when that is over
			}
		}
		if decision.NeedsLive() && !live {
			vm = nil
			continue
		}
		if err := a.carryOut(ctx, w, &in, decision); err != nil {
			if errors.Is(err, vmstatus.ErrStale) || apierrors.IsNotFound(err) {
				w.newest = nil
			}
			return 0, err
		}
		if !decision.Again {
			if vm == nil || !vm.PlacedOn(a.config.NodeName) {
				a.forget(key)
				return decision.RequeueAfter, nil
			}
			return w.seedAgain(w.again(decision.RequeueAfter)), nil
		}
		// What follows may use the object for a report, which is guarded by the
		// epoch, but not for another start or stop.
		vm, live = in.VM, false
	}
	return time.Second, nil
}

// situation looks at the VM's domain.
func (a *Agent) situation(ctx context.Context, w *work, vm *v1alpha1.VirtualMachine) (plan.Situation, error) {
	in := plan.Situation{Node: a.config.NodeName, ClusterID: a.clusterID, VM: vm, Memory: w.memory, Now: a.clock.Now()}
	if vm == nil {
		return in, nil
	}
	if op := a.operations.forTurn(vm); op != nil {
		in.Operation = &plan.Request{UID: op.UID, Type: op.Spec.Type}
		if w.memory.Operation != op.UID {
			w.memory.Operation = op.UID
			w.memory.Failures, w.memory.RetryAt = 0, time.Time{}
		}
	}
	if vm.PlacedOn(in.Node) {
		restore, err := a.snapshots.Restoration(ctx, vm, a.operations.forTurn(vm))
		if err != nil {
			return in, err
		}
		in.Restore = restore
	}
	if err := a.takeSave(w, vm, in.Now); err != nil {
		return in, err
	}
	if r, p := w.memory.Refused, vm.Status.Placement; r != nil && (p == nil || r.Granted != p.Granted.Size()) {
		w.memory.Refused = nil // it was taken back, or something else is granted
	}
	var err error
	if in.Domain, err = a.look(ctx, vm.DomainUUID()); err != nil {
		return in, err
	}
	w.memory.See(in.Domain, w.save != nil, in.Now)
	if vm.PlacedOn(in.Node) && plan.NeedsDisks(in) {
		if err := a.lookAtDisks(ctx, w, vm, &in); err != nil {
			return in, err
		}
	}
	if vm.PlacedOn(in.Node) {
		if err := a.compareDisks(ctx, w, vm, &in); err != nil {
			return in, err
		}
		if err := a.lookAtCards(ctx, w, vm, &in); err != nil {
			return in, err
		}
	}
	in.Memory = w.memory
	if in.Domain != nil && in.Domain.JudgedBy(vm) {
		// Nothing starts it but this turn, which has not begun to.
		a.registry.end(in.Domain.UUID)
	}
	if d := in.Domain; d != nil && d.State == libvirt.StateShutOff && d.Reason == libvirt.ReasonCrashed {
		in.LastWords = a.lastWords(ctx, d.Name, time.Time{})
	}
	in.Guest = a.observeGuest(vm, in.Domain, in.Now)
	in.Assigned = a.cni.given(ctx, in.Domain)
	a.lookAtProbe(ctx, vm, &in)
	in.SeedDiffers = a.seedDiffers(ctx, w, vm, in.Domain, in.Now)
	return in, nil
}

// look asks libvirt for one domain and takes the answer over; nil when there is
// none.
func (a *Agent) look(ctx context.Context, uuid string) (*ownership.Observed, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	d, err := a.host.Domain(ctx, uuid)
	if errors.Is(err, libvirt.ErrNotFound) {
		if gone, known := a.registry.get(uuid); known {
			defer a.networkMoved(&gone, nil)
		}
		if a.registry.remove(uuid) {
			a.wakeHost()
		}
		wake(a.pinsChanged)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := ownership.Observe(d)
	if before, known := a.registry.get(uuid); known {
		defer a.networkMoved(&before, &o)
	} else {
		defer a.networkMoved(nil, &o)
	}
	if a.registry.put(o) {
		a.wakeHost()
	}
	if a.registry.strays(a.clusterID, uuid) {
		wake(a.pinsChanged)
	}
	return &o, nil
}

// others lists the domains that carry the VM's name without being its domain.
func (a *Agent) others(key types.NamespacedName, vm *v1alpha1.VirtualMachine) []string {
	var uuids []string
	for _, d := range a.registry.ownedBy(key) {
		if vm == nil || d.UUID != vm.DomainUUID() {
			uuids = append(uuids, d.UUID)
		}
	}
	return uuids
}

// lookAtOther decides about such a domain; vm was read from the API server.
func (a *Agent) lookAtOther(ctx context.Context, key types.NamespacedName, vm *v1alpha1.VirtualMachine, uuid string) error {
	d, err := a.look(ctx, uuid)
	if err != nil || d == nil {
		return err
	}
	if o := d.Ownership.Owner; !d.Owned || o.Namespace != key.Namespace || o.Name != key.Name {
		return nil // its mark was changed since
	}
	decision := plan.Decide(plan.Situation{Node: a.config.NodeName, ClusterID: a.clusterID, VM: vm, Domain: d, Now: a.clock.Now()})
	a.setAside(ctx, *d, decision.Quarantine)
	return nil
}

// setAside puts a domain into quarantine for the reason, or lifts that.
func (a *Agent) setAside(ctx context.Context, d ownership.Observed, reason string) {
	if !a.registry.quarantine(d.UUID, reason) {
		return
	}
	klog.FromContext(ctx).Info("Quarantine changed", keyDomain, d.Name, keyUUID, d.UUID, keyReason, reason)
	if reason != "" {
		a.tell.quarantined(d, reason)
	}
	a.wakeHost()
}

// carryOut does what was decided, and keeps in.VM and in.Domain current.
func (a *Agent) carryOut(ctx context.Context, w *work, in *plan.Situation, decision plan.Decision) error {
	if in.Domain != nil && in.Domain.JudgedBy(in.VM) {
		a.setAside(ctx, *in.Domain, decision.Quarantine)
	}
	for _, step := range decision.Steps {
		klog.FromContext(ctx).V(2).Info("Carrying out a step", keyStep, step)
		err := a.do(ctx, step, w, in)
		in.Memory = w.memory
		if errors.Is(err, plan.ErrNoted) {
			return nil
		}
		var rejection *plan.Rejection
		if errors.As(err, &rejection) {
			return a.reject(ctx, w, in, rejection)
		}
		if err != nil {
			return errors.Join(err, a.reportStopFailure(ctx, w, *in, step, err))
		}
	}
	if decision.Report != nil {
		if err := a.report(ctx, w, *in, *decision.Report); err != nil {
			return err
		}
	}
	if decision.Outcome != nil {
		return a.concludeInTurn(ctx, in.VM, *decision.Outcome)
	}
	return nil
}

// reportStopFailure tells the owner of a guest that it cannot be got rid of.
func (a *Agent) reportStopFailure(ctx context.Context, w *work, in plan.Situation, step plan.Step, err error) error {
	if step != plan.StepDestroy && step != plan.StepEndDead && step != plan.StepUndefine && step != plan.StepDiscardSave || errors.Is(err, libvirt.ErrUnavailable) {
		return nil
	}
	if !in.VM.PlacedOn(in.Node) || plan.Ended(plan.HostStatus(in.VM)) {
		return nil // its status is not ours to write, or is final
	}
	return a.report(ctx, w, in, plan.Report{State: v1alpha1.HostStopping, Message: "stopping the guest failed and is tried again: " + err.Error()})
}

// reject leaves nothing of the VM on the host, and then says so: the scheduler
// may place it elsewhere from then on. A VM that would lose its firmware's state
// with its place is not given back: it has failed to start.
func (a *Agent) reject(ctx context.Context, w *work, in *plan.Situation, r *plan.Rejection) error {
	if plan.HoldsPlace(*in) && ran(in.VM) {
		f := plan.Failure{Reason: r.Reason, Message: r.Message + "; " + plan.KeptForFirmware(*in)}
		w.memory.Note(f, in.Now)
		a.tell.failed(in.VM, f)
		return nil // the next look reports it
	}
	if in.Domain != nil && !in.Domain.State.Active() {
		if err := a.undefine(ctx, w, in); err != nil {
			return err
		}
	}
	in.Domain = nil
	return a.report(ctx, w, *in, plan.Report{State: v1alpha1.HostRejected, Reason: r.Reason, Message: r.Message})
}

// report writes the VM's status where it differs.
func (a *Agent) report(ctx context.Context, w *work, in plan.Situation, r plan.Report) error {
	before := plan.HostStatus(in.VM)
	guard := vmstatus.Guard{}
	if r.Reason == v1alpha1.ReasonInvalidDomain {
		guard.Generation = in.VM.Generation // another spec may well be valid
	}
	stored, err := a.status.PatchGuarded(ctx, in.VM, guard, func(s *v1alpha1.VirtualMachineStatus) { r.Apply(s, in) })
	if err != nil {
		return fmt.Errorf("reporting %s: %w", r.State, err)
	}
	w.keep(stored, a.clock.Now())
	if h := stored.Status.Host; before != nil && h != nil && h.Memory != before.Memory {
		w.memory.Balloon.SaidAt = in.Now
	}
	switch r.State {
	case v1alpha1.HostRunning, v1alpha1.HostPaused:
		if r.Reason == v1alpha1.ReasonStarting {
			break // whether it will run is not known
		}
		w.memory.Expected = true
		w.memory.StopAskedAt, w.memory.LastAskedAt = time.Time{}, time.Time{}
	case v1alpha1.HostStopped, v1alpha1.HostSuspended, v1alpha1.HostEnded, v1alpha1.HostGone, v1alpha1.HostRejected:
		switch r.Reason {
		case v1alpha1.ReasonStarting, v1alpha1.ReasonWaitingForDisks, v1alpha1.ReasonWaitingForNetworks, v1alpha1.ReasonRestoring:
		default:
			w.memory = plan.Memory{}
		}
	}
	if before == nil || before.State != r.State || before.Reason != r.Reason {
		a.tell.reported(in.VM, r)
	}
	return nil
}

// cachedVM returns the VM as the watch or our own last write has it, whichever
// is newer, and nil when the API server has to be asked.
func (a *Agent) cachedVM(ctx context.Context, key types.NamespacedName, w *work) *v1alpha1.VirtualMachine {
	vm := a.vms.Get(ctx, key)
	if vm == nil {
		return nil
	}
	if w.newest == nil || w.newest.UID != vm.UID {
		return vm
	}
	if order, err := resourceversion.CompareResourceVersion(vm.ResourceVersion, w.newest.ResourceVersion); err != nil || order >= 0 {
		w.newest = nil
		return vm
	}
	if a.clock.Since(w.keptAt) > watchLag {
		return nil
	}
	return w.newest
}

// liveVM asks the API server itself; nil when there is no such VM.
func (a *Agent) liveVM(ctx context.Context, key types.NamespacedName) (*v1alpha1.VirtualMachine, error) {
	vm := &v1alpha1.VirtualMachine{}
	err := a.live.Get(ctx, key, vm)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading VirtualMachine %s: %w", key, err)
	}
	return vm, nil
}
