// Package binding holds every write by which the scheduler speaks of a VM: it
// binds it to a host, says why it waits, or asks its host to give it up. Each
// is one guarded write of the status.
package binding

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
	"domus.dev/domus/pkg/podless"
)

// A write whose outcome is unknown is read back this often and this long
// before it is called failed: an API server that restarts is back in seconds.
const (
	readBackEvery = 500 * time.Millisecond
	readBackFor   = 10 * time.Second
)

// Binder writes the scheduler's decisions.
type Binder struct {
	cached client.Reader
	live   client.Reader
	status *vmstatus.Swift
	clock  clock.PassiveClock
}

// New returns a Binder that reads VMs from cached, checks doubtful writes on
// live and writes with status.
func New(cached, live client.Reader, status *vmstatus.Swift, clk clock.PassiveClock) *Binder {
	return &Binder{cached: cached, live: live, status: status, clock: clk}
}

// observed returns the cached VM if it still is what vm identifies, and NotFound
// otherwise: to the scheduler an epoch that has ended is a Pod that is gone.
func (b *Binder) observed(ctx context.Context, vm v1alpha1.Owner) (*v1alpha1.VirtualMachine, error) {
	obj := &v1alpha1.VirtualMachine{}
	if err := b.cached.Get(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: vm.Name}, obj); err != nil {
		return nil, fmt.Errorf("reading VirtualMachine %s/%s: %w", vm.Namespace, vm.Name, err)
	}
	if obj.UID != vm.UID || obj.Status.Epoch != vm.Epoch {
		return nil, gone(vm)
	}
	return obj, nil
}

func gone(vm v1alpha1.Owner) error {
	return apierrors.NewNotFound(v1alpha1.Resource("virtualmachines"), vm.Name)
}

// goneIfStale says NotFound of a VM that has moved on, as the scheduler expects
// of a Pod that is no more.
func goneIfStale(err error, vm v1alpha1.Owner) error {
	if errors.Is(err, vmstatus.ErrStale) {
		return gone(vm)
	}
	return err
}

// Bind places the VM on node, on the cells and devices of reserved (nil: bound
// to none), decided on the spec of generation. It is one write, and a second one
// when the VM was changed after it was cached in a way that does not matter
// here. vmstatus.ErrStale says that the VM was bound, unbound, edited or
// recreated since the decision; nothing has been written then.
func (b *Binder) Bind(ctx context.Context, vm v1alpha1.Owner, generation int64, node string, reserved *v1alpha1.Placement) error {
	obj, err := b.observed(ctx, vm)
	if err != nil {
		return err
	}
	if obj.Generation != generation {
		return fmt.Errorf("binding VirtualMachine %s/%s to %s: its spec is generation %d, placed was %d: %w",
			vm.Namespace, vm.Name, node, obj.Generation, generation, vmstatus.ErrStale)
	}
	placement := v1alpha1.Placement{NodeName: node, Granted: podless.Desired(obj)}
	if reserved != nil {
		placement.Cells, placement.Devices = reserved.Cells, reserved.Devices
	}
	bind := func(s *v1alpha1.VirtualMachineStatus) {
		s.Placement = placement.DeepCopy()
		s.Phase = v1alpha1.PhaseScheduled
		s.ObservedGeneration = generation
		s.NominatedNodeName = ""
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionScheduled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonScheduled,
			Message: "bound to " + node, ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(b.clock.Now()),
		})
	}
	err = b.status.Write(ctx, obj, vmstatus.Guard{Generation: generation}, bind)
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("binding to %s: %w", node, err)
	}
	// The write may have been stored although its answer never came, or came as
	// a refusal of its own repetition.
	if b.bound(ctx, vm, placement) {
		return nil
	}
	return fmt.Errorf("binding to %s: %w", node, err)
}

// bound reads the VM until the API server answers, and says whether it holds
// this very placement.
func (b *Binder) bound(ctx context.Context, vm v1alpha1.Owner, placement v1alpha1.Placement) bool {
	found := false
	// The binding cycle's own context may have ended with the write's time-out.
	ctx = context.WithoutCancel(ctx)
	_ = wait.PollUntilContextTimeout(ctx, readBackEvery, readBackFor, true, func(ctx context.Context) (bool, error) {
		live := &v1alpha1.VirtualMachine{}
		err := b.live.Get(ctx, types.NamespacedName{Namespace: vm.Namespace, Name: vm.Name}, live)
		if err != nil {
			return apierrors.IsNotFound(err), nil
		}
		found = live.UID == vm.UID && live.Status.Epoch == vm.Epoch && equality.Semantic.DeepEqual(live.Status.Placement, &placement)
		return true, nil
	})
	return found
}

// Pending writes why a VM waits and for which host room is being made. A VM
// that has been bound meanwhile is left alone.
func (b *Binder) Pending(ctx context.Context, vm v1alpha1.Owner, scheduled *metav1.Condition, nominatedNodeName string) error {
	obj, err := b.observed(ctx, vm)
	if err != nil {
		return err
	}
	if obj.Status.Placement != nil {
		return nil
	}
	err = b.status.Write(ctx, obj, vmstatus.Guard{}, func(s *v1alpha1.VirtualMachineStatus) {
		if s.Placement != nil {
			return
		}
		s.NominatedNodeName = nominatedNodeName
		if scheduled != nil {
			meta.SetStatusCondition(&s.Conditions, *scheduled)
			if s.Phase == v1alpha1.PhaseStopped || s.Phase == v1alpha1.PhaseEnded {
				s.Phase = v1alpha1.PhasePending // it was stopped, and is wanted again
			}
		}
	})
	return goneIfStale(err, vm)
}

// ErrNotBound says that a VM cannot be evicted yet: it is on its way to a host,
// and has to be there first.
var ErrNotBound = errors.New("the VirtualMachine is not bound yet")

// Evict asks the VM's host to stop the guest and give its slot back. It is not
// repeated while the host is at it. ErrNotBound has the preemption tried again.
func (b *Binder) Evict(ctx context.Context, vm v1alpha1.Owner, reason, message string) error {
	obj, err := b.observed(ctx, vm)
	if err != nil {
		return err
	}
	switch {
	case obj.Status.Eviction != nil:
		return nil
	case obj.Status.Placement == nil:
		return fmt.Errorf("evicting VirtualMachine %s/%s: %w", vm.Namespace, vm.Name, ErrNotBound)
	}
	err = b.status.Write(ctx, obj, vmstatus.Guard{}, func(s *v1alpha1.VirtualMachineStatus) {
		if s.Placement == nil {
			return
		}
		s.Eviction = &v1alpha1.Eviction{Reason: reason, Message: message, RequestedAt: metav1.NewTime(b.clock.Now()).Rfc3339Copy()}
	})
	return goneIfStale(err, vm)
}
