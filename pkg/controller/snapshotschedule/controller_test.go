package snapshotschedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// stage is the controller with a cluster around it.
type stage struct {
	t          *testing.T
	api        client.WithWatch
	clock      *clocktesting.FakeClock
	controller *Controller
	// refuse may fail a write, before it takes effect or after.
	refuse func(what string) (before, after error)
	writes []string
}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, clock: clocktesting.NewFakeClock(midnight), refuse: func(string) (error, error) { return nil, nil }}
	s.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.VirtualMachineSnapshot{}, &v1alpha1.VirtualMachineSnapshotSchedule{}).Build()
	write := func(what string, fn func() error) error {
		before, after := s.refuse(what)
		if before != nil {
			return before
		}
		s.writes = append(s.writes, what)
		return errors.Join(fn(), after)
	}
	live := interceptor.NewClient(s.api, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return write("create", func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return write("delete", func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return write("status", func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	s.controller = New(s.api, live, s.clock)
	return s
}

func (s *stage) at(now time.Time) { s.clock.SetTime(now) }

func (s *stage) look() (time.Duration, error) {
	result, err := s.controller.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "s"}})
	return result.RequeueAfter, err
}

func (s *stage) mustLook() time.Duration {
	s.t.Helper()
	again, err := s.look()
	if err != nil {
		s.t.Fatal(err)
	}
	return again
}

func (s *stage) schedule() *v1alpha1.VirtualMachineSnapshotSchedule {
	s.t.Helper()
	out := &v1alpha1.VirtualMachineSnapshotSchedule{}
	if err := s.api.Get(s.t.Context(), client.ObjectKey{Namespace: "ns", Name: "s"}, out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// snapshots are those that there are, as VM@time phase, sorted.
func (s *stage) snapshots() []string {
	s.t.Helper()
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if err := s.api.List(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		x := &list.Items[i]
		out = append(out, fmt.Sprintf("%s@%s %s", x.Spec.VirtualMachineName, scheduledAt(x).UTC().Format("15:04"), x.Status.Phase))
	}
	slices.Sort(out)
	return out
}

// become has all snapshots that have no phase be of one.
func (s *stage) become(phase v1alpha1.SnapshotPhase) {
	s.t.Helper()
	list := &v1alpha1.VirtualMachineSnapshotList{}
	if err := s.api.List(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
	for i := range list.Items {
		if x := &list.Items[i]; x.Status.Phase == "" {
			x.Status.Phase = phase
			if err := s.api.Status().Update(s.t.Context(), x); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func (s *stage) says(kind string) string {
	c := meta.FindStatusCondition(s.schedule().Status.Conditions, kind)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

func vm(name string, labels map[string]string) *v1alpha1.VirtualMachine {
	return &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: labels}}
}

// selecting is a schedule for the VMs of app web.
func selecting(changes ...change) *v1alpha1.VirtualMachineSnapshotSchedule {
	return hourly(append(changes, func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
		s.Spec.VirtualMachineName, s.Spec.Selector = "", &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
		s.Spec.Template = v1alpha1.SnapshotTemplate{Memory: v1alpha1.SnapshotMemoryNone, Quiesce: v1alpha1.QuiesceRequire, Description: "each hour"}
	})...)
}

var web = map[string]string{"app": "web"}

func TestADayOfASchedule(t *testing.T) {
	foreign := snapshotOf(hourly(), "web-1", midnight, v1alpha1.SnapshotReady)
	foreign.Name = "by-hand" // and labelled as if it were the schedule's
	s := newStage(t, selecting(keeps(2, 0)), vm("web-1", web), vm("web-2", web), vm("db", nil), foreign)
	if again := s.mustLook(); again != time.Hour || len(s.writes) != 1 || s.says("LastRun") != "" || s.says("Ready") != "True WaitingForTime: snapshots are made when they are due" {
		t.Fatalf("again after %s; it wrote %v, and says %q and %q", again, s.writes, s.says("Ready"), s.says("LastRun"))
	}
	s.at(oclock(1, 0))
	s.mustLook()
	if diff := cmp.Diff([]string{"web-1@00:00 Ready", "web-1@01:00 ", "web-2@01:00 "}, s.snapshots()); diff != "" {
		t.Fatal(diff)
	}
	if got, want := s.says("LastRun"), "Unknown SnapshotsUnderWay: a snapshot is being made of VirtualMachine web-1, web-2"; got != want {
		t.Errorf("%q", got)
	}
	made := &v1alpha1.VirtualMachineSnapshot{}
	if err := s.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: nameOf(hourly(), "web-1", oclock(1, 0))}, made); err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.VirtualMachineSnapshotSpec{VirtualMachineName: "web-1", Memory: v1alpha1.SnapshotMemoryNone, Quiesce: v1alpha1.QuiesceRequire, Description: "each hour"}
	if diff := cmp.Diff(want, made.Spec); diff != "" {
		t.Error(diff)
	}
	if len(made.OwnerReferences) > 0 {
		t.Error("a snapshot would go with its schedule")
	}
	s.become(v1alpha1.SnapshotReady)
	s.mustLook()
	if got := s.says("LastRun"); got != "True SnapshotsReady: the snapshots are there" || !s.schedule().Status.LastSuccessfulTime.Time.Equal(oclock(1, 0)) {
		t.Errorf("%q, %v", got, s.schedule().Status.LastSuccessfulTime)
	}
	writes := len(s.writes)
	s.mustLook()
	if len(s.writes) != writes {
		t.Errorf("it wrote %v for nothing", s.writes[writes:])
	}
	for hour := 2; hour <= 4; hour++ {
		s.at(oclock(hour, 0))
		s.mustLook()
		s.become(v1alpha1.SnapshotReady)
		s.mustLook()
	}
	if diff := cmp.Diff([]string{"web-1@00:00 Ready", "web-1@03:00 Ready", "web-1@04:00 Ready", "web-2@03:00 Ready", "web-2@04:00 Ready"}, s.snapshots()); diff != "" {
		t.Errorf("what is kept: %s", diff)
	}
	s.at(oclock(5, 0))
	s.mustLook()
	s.become(v1alpha1.SnapshotFailed)
	s.mustLook()
	if got := s.says("LastRun"); got != "False SnapshotsFailed: there is no good snapshot of VirtualMachine web-1, web-2: see the snapshots" {
		t.Errorf("%q", got)
	}
	if got := s.schedule().Status.LastSuccessfulTime; !got.Time.Equal(oclock(4, 0)) {
		t.Errorf("%v", got)
	}
}

// A run whose snapshots the API server does not take is not silent, and not over.
func TestSnapshotsThatAreRefused(t *testing.T) {
	s := newStage(t, selecting(), vm("web-1", web), vm("web-2", web))
	s.at(oclock(1, 0))
	s.refuse = func(what string) (error, error) {
		if what == "create" {
			return errors.New("exceeded quota: few"), nil
		}
		return nil, nil
	}
	if _, err := s.look(); err == nil {
		t.Error("it is not tried again")
	}
	if got, want := s.says("LastRun"), "False SnapshotsFailed: of the run that was due at 2026-05-04T01:00:00Z not all snapshots could be created, and it is tried again: making a snapshot of VirtualMachine ns/web-1: exceeded quota: few"; got != want {
		t.Errorf("%q", got)
	}
	if last := s.schedule().Status.LastScheduleTime; last != nil {
		t.Errorf("the run is noted: %v", last)
	}
	s.refuse = func(string) (error, error) { return nil, nil }
	s.at(oclock(1, 5))
	s.mustLook()
	s.become(v1alpha1.SnapshotReady)
	s.mustLook()
	if diff := cmp.Diff([]string{"web-1@01:00 Ready", "web-2@01:00 Ready"}, s.snapshots()); diff != "" {
		t.Error(diff)
	}
	if got := s.says("LastRun"); got != "True SnapshotsReady: the snapshots are there" {
		t.Errorf("%q", got)
	}
}

func TestAScheduleWithoutVMs(t *testing.T) {
	s := newStage(t, selecting())
	s.at(oclock(1, 0))
	s.mustLook()
	if got := s.says("LastRun"); got != "False NoVirtualMachine: there is no VirtualMachine that spec.virtualMachineName names or spec.selector selects" {
		t.Errorf("%q", got)
	}
}

func TestAScheduleThatCannotBeUnderstood(t *testing.T) {
	s := newStage(t, hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.Schedule = "each hour" }), vm("a", nil))
	s.at(oclock(1, 0))
	if s.mustLook(); len(s.snapshots()) > 0 {
		t.Error("it made a snapshot")
	}
	if got, want := s.says("Ready"), "False InvalidSchedule: spec.schedule: expected exactly 5 fields, found 2: [each hour]: write five fields of cron, such as 0 3 * * *"; got != want {
		t.Errorf("%q", got)
	}
}

// The process dies at each of its writes, before or after that took effect: the
// snapshots of a run are there once, and what is kept is the same.
func TestAControllerThatDiesAmidARun(t *testing.T) {
	died := errors.New("the process has died")
	for _, after := range []bool{false, true} {
		for nth := 1; ; nth++ {
			s := newStage(t, selecting(keeps(1, 0)), vm("web-1", web), vm("web-2", web))
			s.at(oclock(1, 0))
			s.mustLook()
			s.become(v1alpha1.SnapshotReady)
			n := 0
			s.refuse = func(string) (error, error) {
				n++
				switch {
				case n < nth:
					return nil, nil
				case n == nth && after:
					return nil, died
				}
				return died, nil
			}
			s.at(oclock(2, 0))
			_, _ = s.look()
			reached := n >= nth
			s.refuse = func(string) (error, error) { return nil, nil }
			s.at(oclock(2, 5))
			s.mustLook()
			s.become(v1alpha1.SnapshotReady)
			s.mustLook()
			if diff := cmp.Diff([]string{"web-1@02:00 Ready", "web-2@02:00 Ready"}, s.snapshots()); diff != "" {
				t.Fatalf("it died at write %d (after it: %v): %s", nth, after, diff)
			}
			if got := s.schedule().Status.LastScheduleTime; !got.Time.Equal(oclock(2, 0)) {
				t.Fatalf("it died at write %d (after it: %v): %v", nth, after, got)
			}
			if !reached {
				if nth < 4 {
					t.Fatalf("there were only %d writes", n)
				}
				break
			}
		}
	}
}
