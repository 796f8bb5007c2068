package executor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// occupyPoll is how often it is looked whether a VM's turn is over.
const occupyPoll = 20 * time.Millisecond

// occupied keeps the turns of a VM, and what is done to its disks beside them, apart.
type occupied struct {
	mu sync.Mutex
	// turns are VMs whose turn goes on, saves those whose memory is being saved, and
	// jobs those whose disks something is done to.
	turns, saves, jobs map[types.NamespacedName]bool
}

func newOccupied() *occupied {
	return &occupied{turns: map[types.NamespacedName]bool{}, saves: map[types.NamespacedName]bool{}, jobs: map[types.NamespacedName]bool{}}
}

// turn begins a turn of the VM; false where its disks are occupied: then it may do
// nothing but switch the guest off.
func (o *occupied) turn(key types.NamespacedName) (end func(), free bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.jobs[key] {
		return func() {}, false
	}
	o.turns[key] = true
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.turns, key)
	}, true
}

// save says whether the VM's memory is being saved beside its turns.
func (o *occupied) save(key types.NamespacedName, is bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if is {
		o.saves[key] = true
	} else {
		delete(o.saves, key)
	}
}

// take begins something that is done to the VM's disks, when no turn goes on.
func (o *occupied) take(ctx context.Context, key types.NamespacedName) (release func(), err error) {
	for {
		o.mu.Lock()
		free := !o.turns[key] && !o.saves[key] && !o.jobs[key]
		if free {
			o.jobs[key] = true
		}
		o.mu.Unlock()
		if free {
			return func() {
				o.mu.Lock()
				defer o.mu.Unlock()
				delete(o.jobs, key)
			}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the turn of VirtualMachine %s to end: %w", key, libvirt.ErrTimeout)
		case <-time.After(occupyPoll):
		}
	}
}

// whileOccupied is what of a decision may be done while the VM's disks are occupied:
// to switch the guest off, and to say how an operation went; false for nothing.
func whileOccupied(d plan.Decision) (plan.Decision, bool) {
	switch {
	case len(d.Steps) > 0 && (d.Steps[0] == plan.StepDestroy || d.Steps[0] == plan.StepEndDead):
		return plan.Decision{Steps: d.Steps[:1], Again: true}, true
	case len(d.Steps) == 0 && d.Outcome != nil:
		return plan.Decision{Outcome: d.Outcome}, true
	}
	return plan.Decision{}, false
}
