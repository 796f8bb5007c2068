package snapshotschedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	// workers bounds the schedules that are looked at at once.
	workers = 2
	// longest is when a schedule is looked at again at the latest: a clock may have
	// been set.
	longest = time.Hour
)

// Controller carries schedules out.
type Controller struct {
	cached client.Reader
	live   client.Client
	clock  clock.PassiveClock
}

// New returns a Controller that reads from cached and writes with live, which must
// not be cached.
func New(cached client.Reader, live client.Client, clk clock.PassiveClock) *Controller {
	return &Controller{cached: cached, live: live, clock: clk}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named("snapshot-schedule").
		For(&v1alpha1.VirtualMachineSnapshotSchedule{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.VirtualMachineSnapshot{}, handler.EnqueueRequestsFromMapFunc(c.scheduleOf)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(c)
}

// scheduleOf is the schedule that has made the snapshot.
func (c *Controller) scheduleOf(ctx context.Context, o client.Object) []reconcile.Request {
	uid := types.UID(o.GetLabels()[v1alpha1.ScheduleLabel])
	if uid == "" {
		return nil
	}
	all := &v1alpha1.VirtualMachineSnapshotScheduleList{}
	if c.cached.List(ctx, all, client.InNamespace(o.GetNamespace()), client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	for i := range all.Items {
		if s := &all.Items[i]; s.UID == uid {
			return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(s)}}
		}
	}
	return nil
}

// Reconcile implements reconcile.Reconciler. Snapshots are made before the run is
// noted: who dies between finds them by their names. The schedule itself is read
// from the API server, which knows whether the run was begun.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	schedule := &v1alpha1.VirtualMachineSnapshotSchedule{}
	if err := c.live.Get(ctx, req.NamespacedName, schedule); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if schedule.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	in, bad, err := c.situation(ctx, schedule)
	if err != nil {
		return reconcile.Result{}, err
	}
	d := Decide(in)
	if bad != nil {
		d = Decision{LastSchedule: timeOf(in), Invalid: bad}
	}
	var failed, refused error
	for _, vm := range d.Make {
		if err := c.create(ctx, in.Schedule, vm, d.Run); err != nil {
			failed = errors.Join(failed, err)
			refused = cmp.Or(refused, err)
		}
	}
	for _, s := range d.Delete {
		if err := c.delete(ctx, s); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if refused != nil {
		failed = errors.Join(failed, c.writeStatus(ctx, in, func(status *v1alpha1.VirtualMachineSnapshotScheduleStatus) { reportRefused(status, in, d, refused) }))
	}
	if failed != nil {
		return reconcile.Result{}, failed // the run is not noted, and begun again
	}
	if err := c.writeStatus(ctx, in, func(status *v1alpha1.VirtualMachineSnapshotScheduleStatus) { report(status, in, d) }); err != nil {
		if apierrors.IsConflict(err) {
			return reconcile.Result{RequeueAfter: time.Second}, nil
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	return reconcile.Result{RequeueAfter: wait(d, in.Now)}, nil
}

// situation reads what there is; VMs and snapshots as the cache has them.
func (c *Controller) situation(ctx context.Context, s *v1alpha1.VirtualMachineSnapshotSchedule) (Situation, *invalid, error) {
	in := Situation{Schedule: s, Now: c.clock.Now()}
	snapshots := &v1alpha1.VirtualMachineSnapshotList{}
	if err := c.cached.List(ctx, snapshots, client.InNamespace(s.Namespace), client.MatchingLabels{v1alpha1.ScheduleLabel: string(s.UID)}); err != nil {
		return in, nil, fmt.Errorf("listing the snapshots of schedule %s/%s: %w", s.Namespace, s.Name, err)
	}
	for i := range snapshots.Items {
		if made(s, &snapshots.Items[i]) {
			in.Snapshots = append(in.Snapshots, &snapshots.Items[i])
		}
	}
	selector := labels.Everything()
	if s.Spec.Selector != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(s.Spec.Selector); err != nil {
			return in, &invalid{v1alpha1.ReasonInvalidSelector, fmt.Sprintf("spec.selector: %v", err)}, nil
		}
	}
	vms := &v1alpha1.VirtualMachineList{}
	if err := c.cached.List(ctx, vms, client.InNamespace(s.Namespace), client.MatchingLabelsSelector{Selector: selector}, client.UnsafeDisableDeepCopy); err != nil {
		return in, nil, fmt.Errorf("listing the VirtualMachines of schedule %s/%s: %w", s.Namespace, s.Name, err)
	}
	for i := range vms.Items {
		vm := &vms.Items[i]
		if name := s.Spec.VirtualMachineName; vm.DeletionTimestamp == nil && (name == "" || vm.Name == name) {
			in.VMs = append(in.VMs, vm.Name)
		}
	}
	slices.Sort(in.VMs)
	return in, nil, nil
}

// made says whether the schedule has made the snapshot: anybody can write a label,
// and a snapshot that somebody else has made is nobody's to delete.
func made(s *v1alpha1.VirtualMachineSnapshotSchedule, snapshot *v1alpha1.VirtualMachineSnapshot) bool {
	return snapshot.Name == nameOf(s, snapshot.Spec.VirtualMachineName, scheduledAt(snapshot))
}

// create makes the VM's snapshot of the run, unless it is there.
func (c *Controller) create(ctx context.Context, s *v1alpha1.VirtualMachineSnapshotSchedule, vm string, run time.Time) error {
	t := s.Spec.Template
	snapshot := &v1alpha1.VirtualMachineSnapshot{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: nameOf(s, vm, run),
			Labels:      map[string]string{v1alpha1.ScheduleLabel: string(s.UID)},
			Annotations: map[string]string{v1alpha1.ScheduledAtAnnotation: run.UTC().Format(time.RFC3339)},
		},
		Spec: v1alpha1.VirtualMachineSnapshotSpec{VirtualMachineName: vm, Memory: t.Memory, Quiesce: t.Quiesce, Description: t.Description},
	}
	if err := c.live.Create(ctx, snapshot); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a snapshot of VirtualMachine %s/%s: %w", s.Namespace, vm, err)
	}
	return nil
}

// delete deletes this very snapshot.
func (c *Controller) delete(ctx context.Context, s *v1alpha1.VirtualMachineSnapshot) error {
	err := c.live.Delete(ctx, s, client.Preconditions{UID: &s.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting VirtualMachineSnapshot %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}

func (c *Controller) writeStatus(ctx context.Context, in Situation, say func(*v1alpha1.VirtualMachineSnapshotScheduleStatus)) error {
	next := in.Schedule.DeepCopy()
	say(&next.Status)
	if equality.Semantic.DeepEqual(next.Status, in.Schedule.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(in.Schedule, client.MergeFromWithOptimisticLock{})
	if err := c.live.Status().Patch(ctx, next, patch); err != nil {
		return fmt.Errorf("writing status of VirtualMachineSnapshotSchedule %s/%s: %w", in.Schedule.Namespace, in.Schedule.Name, err)
	}
	return nil
}

// wait is when to look again, 0 for when something is heard.
func wait(d Decision, now time.Time) time.Duration {
	out := longest
	for _, at := range []time.Time{d.Next, d.Again} {
		if !at.IsZero() {
			out = min(out, max(at.Sub(now), time.Second))
		}
	}
	return out
}
