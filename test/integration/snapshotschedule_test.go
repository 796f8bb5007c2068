package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/controller/snapshotschedule"
)

func TestSnapshotSchedulesAreChecked(t *testing.T) {
	ns := namespace(t, nil)
	for name, test := range map[string]struct{ spec, want string }{
		"one VM":                  {`{schedule: "0 3 * * *", virtualMachineName: web}`, ""},
		"VMs by label":            {`{schedule: "@daily", timeZone: Europe/Berlin, selector: {matchLabels: {app: web}}, retention: {keepLast: 7, keepFor: 168h}, missedRuns: Skip}`, ""},
		"no VM":                   {`{schedule: "@daily"}`, "exactly one of"},
		"both":                    {`{schedule: "@daily", virtualMachineName: web, selector: {}}`, "exactly one of"},
		"no schedule":             {`{virtualMachineName: web}`, "schedule"},
		"nothing is kept":         {`{schedule: "@daily", virtualMachineName: web, retention: {keepLast: 0}}`, "greater than or equal to 1"},
		"kept for no time":        {`{schedule: "@daily", virtualMachineName: web, retention: {keepFor: 1s}}`, "must be a length of time of at least 1m"},
		"kept for days":           {`{schedule: "@daily", virtualMachineName: web, retention: {keepFor: 7d}}`, "such as 168h for a week"},
		"kept for a while":        {`{schedule: "@daily", virtualMachineName: web, retention: {keepFor: 1.5h30m}}`, ""},
		"a deadline at once":      {`{schedule: "@daily", virtualMachineName: web, startingDeadlineSeconds: 1}`, "greater than or equal to 10"},
		"another way to miss":     {`{schedule: "@daily", virtualMachineName: web, missedRuns: All}`, "Unsupported value"},
		"memory in another place": {`{schedule: "@daily", virtualMachineName: web, template: {memory: Cloud}}`, "Unsupported value"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := toCome(t, "VirtualMachineSnapshotSchedule", test.spec)
			obj.SetNamespace(ns)
			err := suite.client.Create(t.Context(), obj, client.DryRunAll)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// withVMs is the API server with these VMs, of which no webhook need know.
type withVMs struct {
	client.Reader
	vms []*v1alpha1.VirtualMachine
}

// List implements client.Reader.
func (w withVMs) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	vms, ok := list.(*v1alpha1.VirtualMachineList)
	if !ok {
		return w.Reader.List(ctx, list, opts...)
	}
	o := client.ListOptions{}
	o.ApplyOptions(opts)
	for _, vm := range w.vms {
		if o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(vm.Labels)) {
			vms.Items = append(vms.Items, *vm)
		}
	}
	return nil
}

// A schedule's life against the API server, on a clock of the test's own.
func TestASnapshotSchedule(t *testing.T) {
	ns := namespace(t, nil)
	create := func(obj client.Object) {
		t.Helper()
		if err := suite.client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	labelled := func(value string) func(*v1alpha1.VirtualMachine) {
		return func(vm *v1alpha1.VirtualMachine) { vm.Labels = map[string]string{"app": value} }
	}
	vms := withVMs{suite.client, []*v1alpha1.VirtualMachine{newVM(ns, "web", 1, 1, labelled("web")), newVM(ns, "db", 1, 1, labelled("db"))}}
	keep := int32(1)
	schedule := &v1alpha1.VirtualMachineSnapshotSchedule{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "nightly"}}
	schedule.Spec.Schedule, schedule.Spec.TimeZone = "30 3 * * *", "Europe/Berlin"
	schedule.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	schedule.Spec.Retention.KeepLast = &keep
	create(schedule)

	clock := clocktesting.NewFakePassiveClock(schedule.CreationTimestamp.Time)
	controller := snapshotschedule.New(vms, suite.client, clock)
	look := func() *v1alpha1.VirtualMachineSnapshotSchedule {
		t.Helper()
		if _, err := controller.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(schedule)}); err != nil {
			t.Fatal(err)
		}
		now := &v1alpha1.VirtualMachineSnapshotSchedule{}
		if err := suite.client.Get(t.Context(), client.ObjectKeyFromObject(schedule), now); err != nil {
			t.Fatal(err)
		}
		return now
	}
	snapshots := func() []v1alpha1.VirtualMachineSnapshot {
		t.Helper()
		list := &v1alpha1.VirtualMachineSnapshotList{}
		if err := suite.client.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	first := look()
	if first.Status.NextTime == nil || first.Status.LastScheduleTime != nil || !meta.IsStatusConditionTrue(first.Status.Conditions, v1alpha1.ConditionScheduleReady) || len(snapshots()) != 0 {
		t.Fatalf("%+v, %d snapshots", first.Status, len(snapshots()))
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if at := first.Status.NextTime.In(berlin); at.Hour() != 3 || at.Minute() != 30 {
		t.Errorf("the next run is at %s", at)
	}
	// The VMs are known to the schedule alone: vm-scheduler refuses their snapshots, and
	// the test says in their host's place that they are made.
	done := client.RawPatch(types.MergePatchType, []byte(`{"status":{"nodeName":"none","phase":"Ready","conditions":null}}`))
	seen := map[types.UID]bool{}
	for night := range 3 {
		clock.SetTime(first.Status.NextTime.Add(time.Duration(night)*24*time.Hour + time.Minute))
		look()
		all := snapshots()
		made := 0
		for i := range all {
			s := &all[i]
			if s.Spec.VirtualMachineName != "web" || s.Spec.Quiesce != v1alpha1.QuiesceIfPossible || s.Spec.Memory != v1alpha1.SnapshotMemoryNone {
				t.Errorf("%+v", s.Spec)
			}
			if seen[s.UID] {
				continue
			}
			made++
			seen[s.UID] = true
			if err := suite.client.Status().Patch(t.Context(), s, done); err != nil {
				t.Fatal(err)
			}
		}
		if made != 1 {
			t.Fatalf("night %d: %d snapshots were made", night, made)
		}
		now := look()
		if c := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionLastRun); c == nil || c.Status != metav1.ConditionTrue || now.Status.LastSuccessfulTime == nil {
			t.Errorf("night %d: %+v", night, now.Status)
		}
		if left := snapshots(); len(left) != 1 {
			t.Errorf("night %d: %d snapshots are kept", night, len(left))
		}
	}
	// Its snapshots outlive the schedule.
	if err := suite.client.Delete(t.Context(), schedule); err != nil {
		t.Fatal(err)
	}
	if left := snapshots(); len(left) != 1 || len(left[0].OwnerReferences) > 0 {
		t.Errorf("%+v", left)
	}
}
