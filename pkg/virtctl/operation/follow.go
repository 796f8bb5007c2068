package operation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/output"
)

// grace is what the cluster is given beyond an operation's time limit to say
// itself that it is over, and what it had waited for.
const grace = 10 * time.Second

var errGrace = errors.New("the time limit of the operations has passed")

// Follow follows the operations of outcomes, of which namespace, "" for all,
// holds every one, until each is over. It fills in the outcomes and calls over
// for each that is over, unless over is nil.
func (r *Request) Follow(ctx context.Context, c client.WithWatch, namespace string, outcomes []Outcome, progress *output.Progress, over func(*Outcome) error) error {
	f := &following{outcomes: outcomes, left: map[types.UID]int{}, progress: progress, over: over, hurried: r.hurried}
	for i := range outcomes {
		if outcomes[i].Operation != nil && outcomes[i].Err == nil {
			f.left[outcomes[i].Operation.UID] = i
		}
	}
	if len(f.left) == 0 {
		return nil
	}
	f.say()
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout+grace, errGrace)
	defer cancel()
	at := client.ListOptions{Namespace: namespace, LabelSelector: labels.SelectorFromSet(labels.Set{requestLabel: r.id})}
	err := cluster.Follow(ctx, c, &v1alpha1.VirtualMachineOperationList{}, &v1alpha1.VirtualMachineOperation{}, at,
		cluster.Follower{Synced: f.synced, Changed: f.changed})
	if err == nil {
		return nil
	}
	for _, i := range f.left {
		o := &outcomes[i]
		if errors.Is(err, errGrace) {
			o.Err = unanswered(o.Operation)
		} else {
			o.Err = fmt.Errorf("%w; virtualmachineoperation %s goes on: see `kubectl get vmop -n %s %s`", err, o.Operation.Name, o.Operation.Namespace, o.Operation.Name)
		}
	}
	return f.said
}

// following is operations under way.
type following struct {
	outcomes []Outcome
	left     map[types.UID]int
	progress *output.Progress
	over     func(*Outcome) error
	hurried  bool
	said     error
}

func (f *following) synced(there []client.Object) (bool, error) {
	found := map[types.UID]bool{}
	for _, obj := range there {
		found[obj.GetUID()] = true
		if _, err := f.changed(obj, false); err != nil {
			return false, err
		}
	}
	for uid, i := range f.left {
		if !found[uid] {
			if err := f.ended(uid, i, removed(f.outcomes[i].Operation)); err != nil {
				return false, err
			}
		}
	}
	f.say()
	return len(f.left) == 0, nil
}

func (f *following) changed(obj client.Object, gone bool) (bool, error) {
	op, ok := obj.(*v1alpha1.VirtualMachineOperation)
	i, left := f.left[obj.GetUID()]
	if !ok || !left {
		return len(f.left) == 0, nil
	}
	f.outcomes[i].Operation = op
	var err error
	switch {
	case op.Status.Finished():
		err = f.ended(op.UID, i, Result(op))
	case gone:
		err = f.ended(op.UID, i, removed(op))
	case f.hurried && Unreachable(op):
		err = f.ended(op.UID, i, unreachable(op))
	}
	f.say()
	return err == nil && len(f.left) == 0, err
}

func (f *following) ended(uid types.UID, i int, result error) error {
	delete(f.left, uid)
	f.outcomes[i].Err = result
	if f.over == nil {
		return nil
	}
	f.said = f.progress.Aside(func() error { return f.over(&f.outcomes[i]) })
	return f.said
}

// say tells what the first of those left waits for.
func (f *following) say() {
	for i := range f.outcomes {
		op := f.outcomes[i].Operation
		if op == nil {
			continue
		}
		if _, left := f.left[op.UID]; !left {
			continue
		}
		text := op.Spec.VirtualMachineName + ": " + Waiting(op)
		if len(f.outcomes) > 1 {
			text = fmt.Sprintf("%d of %d left: %s", len(f.left), len(f.outcomes), text)
		}
		f.progress.Say(text)
		return
	}
}
