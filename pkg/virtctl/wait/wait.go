package wait

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

// Target is a VM that is waited for: the one that had this UID. A later one of
// the same name is another VM.
type Target struct {
	Name string
	UID  types.UID
}

// Targets returns vms as targets.
func Targets(vms []v1alpha1.VirtualMachine) []Target {
	var all []Target
	for i := range vms {
		all = append(all, Target{Name: vms[i].Name, UID: vms[i].UID})
	}
	return all
}

// For waits until each of targets, VMs of one namespace, has reached goal or
// cannot, and calls reached for each that has. It returns what kept the others
// from it.
func For(ctx context.Context, c client.WithWatch, namespace string, targets []Target, goal Goal, options Options, progress *output.Progress, reached func(name string) error) error {
	if len(targets) == 0 {
		return nil
	}
	ctx, cancel := options.Limit(ctx)
	defer cancel()
	w := &waiting{goal: goal, targets: targets, left: map[string]Target{}, reasons: map[string]string{}, progress: progress, reached: reached}
	for _, t := range targets {
		w.left[t.Name] = t
	}
	at := client.ListOptions{Namespace: namespace}
	if len(targets) == 1 {
		at.FieldSelector = fields.OneTermEqualSelector("metadata.name", targets[0].Name)
	}
	err := cluster.Follow(ctx, c, &v1alpha1.VirtualMachineList{}, &v1alpha1.VirtualMachine{}, at, cluster.Follower{Synced: w.synced, Changed: w.changed})
	return w.end(err, options.Timeout)
}

// waiting is a wait under way.
type waiting struct {
	goal     Goal
	targets  []Target
	left     map[string]Target
	reasons  map[string]string
	errs     []error
	progress *output.Progress
	reached  func(name string) error
}

func (w *waiting) synced(there []client.Object) (bool, error) {
	found := map[string]bool{}
	for _, obj := range there {
		found[obj.GetName()] = true
		if _, err := w.changed(obj, false); err != nil {
			return false, err
		}
	}
	for _, t := range w.targets {
		if _, left := w.left[t.Name]; left && !found[t.Name] {
			if err := w.gone(t); err != nil {
				return false, err
			}
		}
	}
	w.say()
	return len(w.left) == 0, nil
}

func (w *waiting) changed(obj client.Object, gone bool) (bool, error) {
	vm, ok := obj.(*v1alpha1.VirtualMachine)
	t, left := w.left[obj.GetName()]
	switch {
	case !ok || !left || gone && obj.GetUID() != t.UID:
		return len(w.left) == 0, nil
	case gone || vm.UID != t.UID:
		return w.rest(w.gone(t))
	}
	switch verdict := w.goal.Judge(vm); {
	case verdict.Reached:
		delete(w.left, t.Name)
		return w.rest(w.tell(t.Name))
	case verdict.Err != nil:
		delete(w.left, t.Name)
		w.errs = append(w.errs, verdict.Err)
	default:
		w.reasons[t.Name] = verdict.Waiting
	}
	w.say()
	return len(w.left) == 0, nil
}

// rest is whether nothing is left, unless err.
func (w *waiting) rest(err error) (bool, error) {
	w.say()
	return err == nil && len(w.left) == 0, err
}

// gone takes note that there is no such VM any more.
func (w *waiting) gone(t Target) error {
	delete(w.left, t.Name)
	if w.goal.state == Deleted {
		return w.tell(t.Name)
	}
	w.errs = append(w.errs, failure.NotFound("virtualmachine %q has been deleted", t.Name))
	return nil
}

func (w *waiting) tell(name string) error {
	return w.progress.Aside(func() error { return w.reached(name) })
}

// say tells what the first of those left waits for.
func (w *waiting) say() {
	for _, t := range w.targets {
		if _, left := w.left[t.Name]; !left {
			continue
		}
		text := t.Name + ": " + w.reason(t.Name)
		if len(w.targets) > 1 {
			text = fmt.Sprintf("%d of %d left: %s", len(w.left), len(w.targets), text)
		}
		w.progress.Say(text)
		return
	}
}

func (w *waiting) reason(name string) string {
	if reason := w.reasons[name]; reason != "" {
		return reason
	}
	return "waits to " + w.goal.infinitive()
}

// end returns what came of it; err ended it before all were done.
func (w *waiting) end(err error, limit time.Duration) error {
	switch {
	case TimedOut(err):
		for _, t := range w.targets {
			if _, left := w.left[t.Name]; left {
				w.errs = append(w.errs, failure.TimedOut("virtualmachine %q %s after %s: %s: wait on with `virtctl wait %s --for=%s`", t.Name, w.goal.missed(), limit, w.reason(t.Name), t.Name, w.goal))
			}
		}
	case err != nil:
		w.errs = append(w.errs, err)
	}
	return errors.Join(w.errs...)
}
