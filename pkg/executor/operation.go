package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/opstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/executor/turns"
	"domus.dev/domus/pkg/libvirt"
)

// operateTimeout ends a look at an operation that hangs, so that there is another;
// what is asked of a guest has performTimeout of it.
const operateTimeout = 2 * time.Minute

// turnsOwnWrite is how long the VM's turn has to write how its operation went: it
// is about to, and tries again when it fails.
const turnsOwnWrite = 10 * time.Second

// operationGlance is how long a VM's turn waits for an operation that goes first.
const operationGlance = 200 * time.Millisecond

// Operations are the VirtualMachineOperations given to the host, as a watch has
// them. Objects are not to be changed.
type Operations interface {
	// Of returns those of a VM, finished ones too, in no order.
	Of(ctx context.Context, vm types.NamespacedName) []*v1alpha1.VirtualMachineOperation
}

// operations is what the agent knows of the operations that it is at. Those of
// one VM are done one after another, beside the VM's turns; those that start or
// end the guest are done in its turn.
type operations struct {
	watched Operations
	// queue has names of VMs.
	queue workqueue.TypedRateLimitingInterface[types.NamespacedName]

	mu sync.Mutex
	// progress is about the one operation of a VM that is under way.
	progress map[types.NamespacedName]*progress
}

// progress is what this process knows of an operation beyond its status. It is
// lost with the process.
type progress struct {
	// operation is as it was last read or written.
	operation *v1alpha1.VirtualMachineOperation
	// begun says that this process began it, as opposed to one before it.
	begun     bool
	startedAt time.Time
	// result is how it went, until that is written; it was known at resultAt.
	result   *plan.Outcome
	resultAt time.Time
	// inTurn says that it is for the VM's turn to do.
	inTurn bool
	// abandon ends what is being asked of the guest; nil while nothing is.
	abandon context.CancelFunc
}

func newOperations(watched Operations, node string, clk clock.WithTicker) *operations {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstTurnRetry, lastTurnRetry)
	return &operations{
		watched: watched, progress: map[types.NamespacedName]*progress{},
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter,
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "operations-" + node, Clock: clk}),
	}
}

// of returns the progress of an operation, which takes the place of an earlier
// one's of the same VM.
func (o *operations) of(key types.NamespacedName, op *v1alpha1.VirtualMachineOperation) progress {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.progress[key]
	if p == nil || p.operation.UID != op.UID {
		p = &progress{}
		o.progress[key] = p
	}
	p.operation = op
	return *p
}

// change changes the progress of an operation, unless it is under way no more.
func (o *operations) change(key types.NamespacedName, uid types.UID, fn func(*progress)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.progress[key]; p != nil && p.operation.UID == uid {
		fn(p)
	}
}

// over forgets the operation and looks for the next.
func (o *operations) over(key types.NamespacedName) {
	o.mu.Lock()
	delete(o.progress, key)
	o.mu.Unlock()
	o.queue.Add(key)
}

// ended has what is being asked of a guest be abandoned when the operation is over
// by another's word: what overtook it is not to wait for a guest that hangs.
func (o *operations) ended(op *v1alpha1.VirtualMachineOperation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.progress[types.NamespacedName{Namespace: op.Namespace, Name: op.Spec.VirtualMachineName}]
	if p != nil && p.operation.UID == op.UID && p.abandon != nil {
		p.abandon()
	}
}

// endedMeanwhile says whether the watch has the operation as over.
func (o *operations) endedMeanwhile(ctx context.Context, key types.NamespacedName, uid types.UID) bool {
	return slices.ContainsFunc(o.watched.Of(ctx, key), func(op *v1alpha1.VirtualMachineOperation) bool {
		return op.UID == uid && op.Status.Finished()
	})
}

// forTurn returns the operation that the VM's turn is to do; nil when there is
// none for its present binding.
func (o *operations) forTurn(vm *v1alpha1.VirtualMachine) *v1alpha1.VirtualMachineOperation {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.progress[client.ObjectKeyFromObject(vm)]
	if p == nil || !p.inTurn || !plan.IsFor(p.operation, vm) {
		return nil
	}
	return p.operation
}

// goesFirst says whether the watch has an operation that is to start or end the
// VM's guest, and that the VM's turn has not been given yet. One that an earlier
// process had begun may be what the guest is off for: were the guest started for any
// other reason, the operation would end and start it once more.
func (o *operations) goesFirst(ctx context.Context, vm *v1alpha1.VirtualMachine) bool {
	if o.watched == nil || plan.RestartBarred(vm) != "" || o.forTurn(vm) != nil {
		return false
	}
	return slices.ContainsFunc(o.watched.Of(ctx, client.ObjectKeyFromObject(vm)), func(op *v1alpha1.VirtualMachineOperation) bool {
		return plan.InTurn(op.Spec.Type) && op.DeletionTimestamp == nil && !op.Status.Finished() && plan.IsFor(op, vm)
	})
}

// stir looks again at an operation that the VM's turn is to do: the VM has
// changed.
func (o *operations) stir(key types.NamespacedName) {
	o.mu.Lock()
	p := o.progress[key]
	stir := p != nil && p.inTurn
	o.mu.Unlock()
	if stir {
		o.queue.Add(key)
	}
}

// EnqueueOperations asks for the operations of a VM to be looked at.
func (a *Agent) EnqueueOperations(vm types.NamespacedName) { a.operations.queue.Add(vm) }

// operationChanged asks for the operations of a VM to be looked at, one of which
// appeared, changed or went.
func (a *Agent) operationChanged(op *v1alpha1.VirtualMachineOperation) {
	if op.Status.Finished() {
		a.operations.ended(op)
	}
	a.EnqueueOperations(types.NamespacedName{Namespace: op.Namespace, Name: op.Spec.VirtualMachineName})
}

// followOperations carries operations out: of each VM one at a time, and none
// waits for another VM's.
func (a *Agent) followOperations(ctx context.Context) {
	turns.Give(a.operations.queue, func(key types.NamespacedName) {
		logger := klog.FromContext(ctx).WithValues(keyVM, key)
		ctx, cancel := context.WithTimeout(ctx, operateTimeout)
		defer cancel()
		after, err := a.operate(klog.NewContext(ctx, logger), key)
		if err != nil {
			logger.Info("An operation is tried again", keyError, err.Error())
		}
		turns.Settle(a.operations.queue, key, after, err)
	})
}

// operate brings the oldest operation of a VM a step closer, and says when to
// look again.
func (a *Agent) operate(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	op, err := a.nextOperation(ctx, key)
	if err != nil {
		return 0, err
	}
	if op == nil {
		a.operations.mu.Lock()
		delete(a.operations.progress, key)
		a.operations.mu.Unlock()
		return 0, nil
	}
	vm, err := a.liveVM(ctx, key)
	if err != nil {
		return 0, err
	}
	p := a.operations.of(key, op)
	in := plan.OperationSituation{
		Operation: op, VM: vm, Begun: p.begun, Result: p.result, Connected: a.Ready(), Since: a.started, Now: a.clock.Now(),
	}
	if p.inTurn && p.result != nil && in.Now.Sub(p.resultAt) < turnsOwnWrite {
		return turnsOwnWrite, nil
	}
	d := plan.DecideOperation(in)
	if d.Outcome != nil {
		return 0, a.conclude(ctx, key, op, vm, *d.Outcome)
	}
	if !d.Act {
		return d.After, nil
	}
	if p.startedAt.IsZero() {
		p.startedAt = in.Now
		a.operations.change(key, op.UID, func(p *progress) { p.begun, p.startedAt = true, in.Now })
	}
	if d.Begin {
		if op, err = a.begin(ctx, key, op, p.startedAt); err != nil {
			return 0, ignoreStale(err)
		}
	}
	if d.InTurn {
		if !p.inTurn {
			a.operations.change(key, op.UID, func(p *progress) { p.inTurn = true })
			a.queue.Add(key)
		}
		return d.After, nil
	}
	asking, abandon := context.WithCancel(ctx)
	defer abandon()
	a.operations.change(key, op.UID, func(p *progress) { p.abandon = abandon })
	if a.operations.endedMeanwhile(ctx, key, op.UID) {
		abandon() // the watch told of it before there was anything to abandon
	}
	outcome, err := a.perform(asking, op, vm)
	switch {
	case errors.Is(err, plan.ErrNotAsked), errors.Is(err, libvirt.ErrUnavailable):
		return plan.LibvirtPoll, nil
	case err != nil:
		return 0, err
	}
	a.operations.change(key, op.UID, func(p *progress) { p.result = &outcome })
	return 0, a.conclude(ctx, key, op, vm, outcome)
}

// nextOperation is the oldest of a VM that is not over, read from the API server
// itself: what a cache has may have been done already. nil when there is none.
func (a *Agent) nextOperation(ctx context.Context, key types.NamespacedName) (*v1alpha1.VirtualMachineOperation, error) {
	if a.operations.watched == nil {
		return nil, nil
	}
	known := slices.Clone(a.operations.watched.Of(ctx, key))
	slices.SortFunc(known, func(x, y *v1alpha1.VirtualMachineOperation) int {
		if byAge := x.CreationTimestamp.Compare(y.CreationTimestamp.Time); byAge != 0 {
			return byAge
		}
		return plan.CompareNames(x, y)
	})
	for _, op := range known {
		if op.Status.Finished() {
			continue
		}
		live := &v1alpha1.VirtualMachineOperation{}
		err := a.live.Get(ctx, client.ObjectKeyFromObject(op), live)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("reading VirtualMachineOperation %s/%s: %w", op.Namespace, op.Name, err)
		case live.DeletionTimestamp == nil && live.Status.NodeName == a.config.NodeName && !live.Status.Finished():
			return live, nil
		}
	}
	return nil, nil
}

// begin says that the operation is under way.
func (a *Agent) begin(ctx context.Context, key types.NamespacedName, op *v1alpha1.VirtualMachineOperation, at time.Time) (*v1alpha1.VirtualMachineOperation, error) {
	next := op.Status
	next.Phase, next.Reason, next.Message = v1alpha1.OperationRunning, "", ""
	next.StartedAt = plan.WholeSeconds(at)
	stored, err := opstatus.Write(ctx, a.live, op, next)
	if err != nil {
		return nil, err
	}
	a.operations.change(key, op.UID, func(p *progress) { p.operation = stored })
	return stored, nil
}

// conclude writes how an operation went, and looks for the next.
func (a *Agent) conclude(ctx context.Context, key types.NamespacedName, op *v1alpha1.VirtualMachineOperation, vm *v1alpha1.VirtualMachine, o plan.Outcome) error {
	at := time.Time{}
	a.operations.change(key, op.UID, func(p *progress) { at = p.startedAt })
	_, err := opstatus.Write(ctx, a.live, op, o.Status(op.Status, at, a.clock.Now()))
	if err == nil && vm != nil && string(vm.UID) == op.Status.VirtualMachineUID {
		a.tell.operated(vm, op, o)
	}
	if err = ignoreStale(err); err == nil {
		a.operations.over(key)
	}
	return err
}

// concludeInTurn is conclude for an operation that the VM's turn did.
func (a *Agent) concludeInTurn(ctx context.Context, vm *v1alpha1.VirtualMachine, o plan.Outcome) error {
	op := a.operations.forTurn(vm)
	if op == nil {
		return nil // it is over, by another's word
	}
	key := client.ObjectKeyFromObject(vm)
	a.operations.change(key, op.UID, func(p *progress) {
		if p.result == nil {
			p.result, p.resultAt = &o, a.clock.Now()
		}
	})
	return a.conclude(ctx, key, op, vm, o)
}

// ignoreStale passes over a write that came too late: what is newer is looked at
// when the watch has it.
func ignoreStale(err error) error {
	if errors.Is(err, opstatus.ErrStale) {
		return nil
	}
	return err
}
