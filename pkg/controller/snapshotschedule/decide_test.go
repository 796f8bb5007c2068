package snapshotschedule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// midnight is when the schedules of these tests were made.
var midnight = time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)

func oclock(hour, minute int) time.Time {
	return midnight.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
}

type change = func(*v1alpha1.VirtualMachineSnapshotSchedule)

// hourly is a schedule for VM a that was made at midnight.
func hourly(changes ...change) *v1alpha1.VirtualMachineSnapshotSchedule {
	s := &v1alpha1.VirtualMachineSnapshotSchedule{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", UID: "uid", Generation: 1, CreationTimestamp: metav1.NewTime(midnight)}}
	s.Spec.Schedule, s.Spec.VirtualMachineName, s.Spec.MissedRuns = "0 * * * *", "a", v1alpha1.MissedRunLast
	for _, f := range changes {
		f(s)
	}
	return s
}

func lastAt(t time.Time) change {
	return func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
		s.Status.LastScheduleTime = ptr.To(metav1.NewTime(t))
	}
}

// nextAt is what was said of the next run, as of another schedule.
func nextAt(t time.Time) change {
	return func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
		s.Status.NextTime = ptr.To(metav1.NewTime(t))
	}
}

func skips(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.MissedRuns = v1alpha1.MissedSkip }
func suspended(s *v1alpha1.VirtualMachineSnapshotSchedule) {
	s.Spec.Suspend = true
}

func keeps(last int32, length time.Duration) change {
	return func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
		if last > 0 {
			s.Spec.Retention.KeepLast = &last
		}
		if length > 0 {
			s.Spec.Retention.KeepFor = &metav1.Duration{Duration: length}
		}
	}
}

// snapshotOf is a snapshot that the schedule has made of the VM.
func snapshotOf(s *v1alpha1.VirtualMachineSnapshotSchedule, vm string, at time.Time, phase v1alpha1.SnapshotPhase) *v1alpha1.VirtualMachineSnapshot {
	out := &v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: nameOf(s, vm, at), Labels: map[string]string{v1alpha1.ScheduleLabel: string(s.UID)},
		Annotations: map[string]string{v1alpha1.ScheduledAtAnnotation: at.Format(time.RFC3339)},
	}}
	out.Spec.VirtualMachineName, out.Status.Phase = vm, phase
	return out
}

func TestWhenARunIsDue(t *testing.T) {
	for name, test := range map[string]struct {
		schedule *v1alpha1.VirtualMachineSnapshotSchedule
		now      time.Time
		// run, last and next are times of the day; empty for none.
		run, last, next string
		missed          bool
		invalid         string
	}{
		"not before its time":               {schedule: hourly(), now: oclock(0, 59), last: "00:00", next: "01:00"},
		"at its time":                       {schedule: hourly(), now: oclock(1, 0), run: "01:00", last: "01:00", next: "02:00"},
		"a little later":                    {schedule: hourly(), now: oclock(1, 3), run: "01:00", last: "01:00", next: "02:00"},
		"not twice":                         {schedule: hourly(lastAt(oclock(1, 0))), now: oclock(1, 30), last: "01:00", next: "02:00"},
		"of several that were missed":       {schedule: hourly(lastAt(oclock(1, 0))), now: oclock(5, 30), run: "05:00", last: "05:00", next: "06:00"},
		"and none of them":                  {schedule: hourly(skips, lastAt(oclock(1, 0))), now: oclock(5, 30), missed: true, last: "05:00", next: "06:00"},
		"one that is not late is no missed": {schedule: hourly(skips, lastAt(oclock(1, 0))), now: oclock(2, 0).Add(30 * time.Second), run: "02:00", last: "02:00", next: "03:00"},
		"past its deadline": {schedule: hourly(lastAt(oclock(1, 0)), func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
			s.Spec.StartingDeadlineSeconds = ptr.To[int64](600)
		}), now: oclock(2, 11), missed: true, last: "02:00", next: "03:00"},
		"before its deadline": {schedule: hourly(lastAt(oclock(1, 0)), func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
			s.Spec.StartingDeadlineSeconds = ptr.To[int64](600)
		}), now: oclock(2, 9), run: "02:00", last: "02:00", next: "03:00"},
		"while it is suspended": {schedule: hourly(suspended), now: oclock(5, 30), last: "05:00"},
		"after it was suspended": {schedule: hourly(lastAt(oclock(1, 0)), func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
			s.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "Suspended"}}
		}), now: oclock(5, 30), last: "05:00", next: "06:00"},
		"after it was not understood": {schedule: hourly(lastAt(oclock(1, 0)), func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
			s.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "InvalidSchedule"}}
		}), now: oclock(5, 30), last: "05:00", next: "06:00"},
		"edited to a time that has passed": {schedule: hourly(lastAt(oclock(1, 0)), nextAt(oclock(9, 0))), now: oclock(5, 30), last: "01:00", next: "06:00"},
		"missed, and edited since":         {schedule: hourly(lastAt(oclock(1, 0)), nextAt(oclock(2, 15))), now: oclock(5, 30), run: "05:00", last: "05:00", next: "06:00"},
		"in another time zone": {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
			s.Spec.Schedule, s.Spec.TimeZone = "30 3 * * *", "Europe/Berlin"
		}), now: oclock(1, 30), run: "01:30", last: "01:30", next: "01:30"},
		"a time zone of nowhere":     {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.TimeZone = "Moon/Sea" }), now: oclock(1, 0), last: "00:00", invalid: `spec.timeZone: "Moon/Sea" is no time zone: name one, such as Europe/Berlin`},
		"the host's own time zone":   {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.TimeZone = "Local" }), now: oclock(1, 0), last: "00:00", invalid: "spec.timeZone: Local is whatever vm-scheduler's host has: name one, such as Europe/Berlin"},
		"six fields":                 {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.Schedule = "0 0 * * * *" }), now: oclock(1, 0), last: "00:00", invalid: "spec.schedule: expected exactly 5 fields, found 6: [0 0 * * * *]: write five fields of cron, such as 0 3 * * *"},
		"a time zone in the fields":  {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.Schedule = "TZ=UTC 0 * * * *" }), now: oclock(1, 0), last: "00:00", invalid: `spec.schedule: "TZ=UTC 0 * * * *" is to be five fields of cron, such as 0 3 * * *, and the time zone in spec.timeZone`},
		"counted from nobody's time": {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.Schedule = "@every 1h" }), now: oclock(1, 0), last: "00:00", invalid: `spec.schedule: "@every 1h" is to be five fields of cron, such as 0 3 * * *, and the time zone in spec.timeZone`},
		"the 30th of February":       {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.Schedule = "0 0 30 2 *" }), now: oclock(1, 0), last: "00:00"},
		"every minute, for a year":   {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.Schedule = "* * * * *" }), now: oclock(24*365, 30), run: "00:30", last: "00:30", next: "00:31"},
		"once a month, for a year":   {schedule: hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.Spec.Schedule = "15 4 1 * *" }), now: oclock(24*365, 30), run: "04:15", last: "04:15", next: "04:15"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(Situation{Schedule: test.schedule, VMs: []string{"a"}, Now: test.now})
			day := func(at time.Time) string {
				if at.IsZero() {
					return ""
				}
				return at.UTC().Format("15:04")
			}
			bad := ""
			if d.Invalid != nil {
				bad = d.Invalid.message
			}
			got := []any{day(d.Run), day(d.LastSchedule), day(d.Next), d.Missed, bad, len(d.Make) > 0}
			if diff := cmp.Diff([]any{test.run, test.last, test.next, test.missed, test.invalid, test.run != ""}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// When the clocks of Berlin are put forward there is no 02:30, and when they are put
// back it comes twice.
func TestClocksThatArePutForwardAndBack(t *testing.T) {
	s := hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) {
		s.Spec.Schedule, s.Spec.TimeZone = "30 2 * * *", "Europe/Berlin"
	})
	for name, test := range map[string]struct {
		from time.Time
		want []string
	}{
		"forward": {time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), []string{"2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"}},
		"back":    {time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC), []string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, bad := parse(&s.Spec)
			if bad != nil {
				t.Fatal(bad)
			}
			var got []string
			for at := test.from; len(got) < 3; {
				at = c.next(at)
				got = append(got, at.UTC().Format(time.RFC3339))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhichVMsARunIsFor(t *testing.T) {
	s := hourly()
	snapshots := []*v1alpha1.VirtualMachineSnapshot{
		snapshotOf(s, "done", oclock(1, 0), v1alpha1.SnapshotReady), // of this very run
		snapshotOf(s, "slow", oclock(0, 0), v1alpha1.SnapshotCreating),
		snapshotOf(s, "broken", oclock(0, 0), v1alpha1.SnapshotFailed),
	}
	d := Decide(Situation{Schedule: s, VMs: []string{"broken", "done", "new", "slow"}, Snapshots: snapshots, Now: oclock(1, 0)})
	if diff := cmp.Diff([]string{"broken", "new"}, d.Make); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsKept(t *testing.T) {
	ready, bad, making := v1alpha1.SnapshotReady, v1alpha1.SnapshotFailed, v1alpha1.SnapshotCreating
	for name, test := range map[string]struct {
		schedule *v1alpha1.VirtualMachineSnapshotSchedule
		// snapshots are of VM a, the one of hour 0 first.
		snapshots []v1alpha1.SnapshotPhase
		// want are the hours of those that go, and again is when the next one does.
		want  []int
		again string
	}{
		"all, where nothing is said":               {schedule: hourly(), snapshots: []v1alpha1.SnapshotPhase{ready, bad, ready}},
		"the last two":                             {schedule: hourly(keeps(2, 0)), snapshots: []v1alpha1.SnapshotPhase{ready, ready, ready, ready}, want: []int{0, 1}},
		"failed ones do not count":                 {schedule: hourly(keeps(2, 0)), snapshots: []v1alpha1.SnapshotPhase{ready, ready, ready, bad}, want: []int{0}},
		"failed ones go when a good one follows":   {schedule: hourly(keeps(2, 0)), snapshots: []v1alpha1.SnapshotPhase{ready, bad, ready}, want: []int{1}},
		"those that are being made stay":           {schedule: hourly(keeps(1, 0)), snapshots: []v1alpha1.SnapshotPhase{making, ready, making}},
		"by age":                                   {schedule: hourly(keeps(0, 2*time.Hour)), snapshots: []v1alpha1.SnapshotPhase{ready, ready, ready, ready}, want: []int{0, 1}, again: "04:00"},
		"the newest good one stays, however old":   {schedule: hourly(keeps(0, time.Minute)), snapshots: []v1alpha1.SnapshotPhase{ready, ready, bad, bad}, want: []int{0, 2, 3}},
		"no good one, and failed ones by age":      {schedule: hourly(keeps(0, 2*time.Hour)), snapshots: []v1alpha1.SnapshotPhase{bad, bad, bad}, want: []int{0, 1}, again: "04:00"},
		"either of the two keeps":                  {schedule: hourly(keeps(1, 2*time.Hour)), snapshots: []v1alpha1.SnapshotPhase{ready, ready, ready, ready}, want: []int{0, 1}, again: "04:00"},
		"none is deleted while it is suspended":    {schedule: hourly(keeps(1, 0), suspended), snapshots: []v1alpha1.SnapshotPhase{ready, ready}},
		"failed ones tell what is wrong meanwhile": {schedule: hourly(keeps(2, 0)), snapshots: []v1alpha1.SnapshotPhase{ready, bad, bad}},
		"and do not pile up":                       {schedule: hourly(keeps(2, 0)), snapshots: []v1alpha1.SnapshotPhase{ready, bad, bad, bad}, want: []int{1}},
		"nor where there never was a good one":     {schedule: hourly(keeps(1, 2*time.Hour)), snapshots: []v1alpha1.SnapshotPhase{bad, bad, bad}, want: []int{0, 1}, again: "04:00"},
	} {
		t.Run(name, func(t *testing.T) {
			in := Situation{Schedule: test.schedule, Now: oclock(3, 10)}
			for hour, phase := range test.snapshots {
				in.Snapshots = append(in.Snapshots, snapshotOf(test.schedule, "a", oclock(hour, 0), phase))
			}
			d := Decide(in)
			var got []int
			for _, s := range d.Delete {
				got = append(got, scheduledAt(s).Hour())
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			again := ""
			if !d.Again.IsZero() {
				again = d.Again.Format("15:04")
			}
			if again != test.again {
				t.Errorf("again at %q, not %q", again, test.again)
			}
		})
	}
}

// Whatever is kept and whenever the schedule is looked at: a good snapshot of a VM
// that has one is never lost, no more than keepLast good ones are left without
// keepFor, and what was made in one run is not made again.
func TestNothingGoodIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hourly(keeps(rapid.Int32Range(0, 3).Draw(t, "keepLast"), time.Duration(rapid.IntRange(0, 5).Draw(t, "keepFor"))*time.Hour))
		vms := []string{"a", "b"}
		var all []*v1alpha1.VirtualMachineSnapshot
		made := map[string]bool{}
		now := midnight
		for range 40 {
			now = now.Add(time.Duration(rapid.IntRange(1, 150).Draw(t, "minutes")) * time.Minute)
			before := goodOnes(all)
			d := Decide(Situation{Schedule: s, VMs: vms, Snapshots: all, Now: now})
			for _, vm := range d.Make {
				snapshot := snapshotOf(s, vm, d.Run, v1alpha1.SnapshotCreating)
				if made[snapshot.Name] {
					t.Fatalf("%s is made twice", snapshot.Name)
				}
				made[snapshot.Name] = true
				all = append(all, snapshot)
			}
			for _, gone := range d.Delete {
				all = slices.DeleteFunc(all, func(s *v1alpha1.VirtualMachineSnapshot) bool { return s == gone })
			}
			s.Status.LastScheduleTime = wholeSeconds(d.LastSchedule)
			for vm, n := range before {
				left := goodOnes(all)[vm]
				if n > 0 && left == 0 {
					t.Fatalf("the last good snapshot of %s went", vm)
				}
				if keep := s.Spec.Retention; keep.KeepLast != nil && keep.KeepFor == nil && left > int(*keep.KeepLast) {
					t.Fatalf("%d good snapshots of %s are left of %d", left, vm, *keep.KeepLast)
				}
			}
			for _, snapshot := range all {
				if underWay(snapshot) {
					snapshot.Status.Phase = rapid.SampledFrom([]v1alpha1.SnapshotPhase{v1alpha1.SnapshotReady, v1alpha1.SnapshotFailed, v1alpha1.SnapshotCreating}).Draw(t, "becomes")
				}
			}
		}
	})
}

func goodOnes(all []*v1alpha1.VirtualMachineSnapshot) map[string]int {
	out := map[string]int{}
	for _, s := range all {
		if good(s) {
			out[s.Spec.VirtualMachineName]++
		}
	}
	return out
}

func TestNamesOfSnapshots(t *testing.T) {
	s, other := hourly(), hourly(func(s *v1alpha1.VirtualMachineSnapshotSchedule) { s.UID = "other" })
	long := fmt.Sprintf("%0253d", 0)
	names := map[string]bool{}
	for _, name := range []string{
		nameOf(s, "a", oclock(1, 0)), nameOf(s, "a", oclock(1, 1)), nameOf(s, "b", oclock(1, 0)), nameOf(other, "a", oclock(1, 0)),
		nameOf(s, long, oclock(1, 0)), nameOf(s, long[:252]+"1", oclock(1, 0)),
	} {
		if names[name] || len(name) > maxName {
			t.Errorf("%s (%d characters) is there twice, or too long", name, len(name))
		}
		names[name] = true
	}
	if again := nameOf(s, "a", oclock(1, 0)); !names[again] {
		t.Errorf("it is another one the second time: %s", again)
	}
}
