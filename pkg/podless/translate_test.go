package podless

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"domus.dev/domus/pkg/api/v1alpha1"
)

type classes map[string]Priority

func (c classes) Resolve(name string) (Priority, bool) {
	if name == "" {
		return defaultPriority, true
	}
	p, ok := c[name]
	return p, ok
}

var created = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

func vm(change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "web", UID: "u1", ResourceVersion: "1", Generation: 1, CreationTimestamp: created,
	}}
	vm.Spec.SchedulerName = v1alpha1.DefaultSchedulerName
	vm.Spec.PowerState = v1alpha1.PowerRunning
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 2, Memory: resource.MustParse("1Gi")}
	for _, f := range change {
		f(vm)
	}
	return vm
}

func placed(node string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: node, Granted: v1alpha1.GrantedResources{CPU: 2, Memory: 1 << 30}}
	}
}

func epoch(n int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch = n }
}

// step is what happens to the VM; nil means it is deleted.
func TestTranslate(t *testing.T) {
	deleted := metav1.NewTime(created.Add(time.Hour))
	for name, test := range map[string]struct {
		steps []*v1alpha1.VirtualMachine
		// want are the events of the last step: type, Pod name, node.
		want []string
	}{
		"a new VM enters the queue":             {[]*v1alpha1.VirtualMachine{vm()}, []string{"ADDED vm:web.0 @"}},
		"a binding is a modification":           {[]*v1alpha1.VirtualMachine{vm(), vm(placed("a"))}, []string{"MODIFIED vm:web.0 @a"}},
		"an unbinding is a new Pod":             {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(epoch(1))}, []string{"DELETED vm:web.0 @a", "ADDED vm:web.1 @"}},
		"a rebinding seen at once is a new Pod": {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(epoch(1), placed("b"))}, []string{"DELETED vm:web.0 @a", "ADDED vm:web.1 @b"}},
		"created anew under its name": {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(func(vm *v1alpha1.VirtualMachine) { vm.UID = "u2" })},
			[]string{"DELETED vm:web.0 @a", "ADDED vm:web.0 @"}},
		"what the host reports is no event": {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(placed("a"), func(vm *v1alpha1.VirtualMachine) {
			vm.ResourceVersion = "2"
			vm.Status.Phase = v1alpha1.PhaseRunning
			vm.Status.Host = &v1alpha1.HostStatus{State: v1alpha1.HostRunning}
			vm.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
		})}, nil},
		"a label is a modification": {[]*v1alpha1.VirtualMachine{vm(), vm(func(vm *v1alpha1.VirtualMachine) { vm.Labels = map[string]string{"a": "b"} })},
			[]string{"MODIFIED vm:web.0 @"}},
		"a waiting VM that asks for something else enters the queue anew": {[]*v1alpha1.VirtualMachine{vm(), vm(func(vm *v1alpha1.VirtualMachine) {
			vm.Generation = 2
			vm.Spec.NodeSelector = map[string]string{"disk": "fast"}
		})}, []string{"DELETED vm:web.0 @", "ADDED vm:web.0 @"}},
		"a placed VM that asks for more counts for more where it is": {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(placed("a"), func(vm *v1alpha1.VirtualMachine) {
			vm.Generation, vm.Spec.Resources.CPU = 2, 4
		})}, []string{"MODIFIED vm:web.0 @a"}},
		"a deleted VM that waits leaves the queue": {[]*v1alpha1.VirtualMachine{vm(), vm(func(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = &deleted })},
			[]string{"DELETED vm:web.0 @"}},
		"a deleted VM that is placed keeps its capacity": {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(placed("a"), func(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = &deleted })},
			[]string{"MODIFIED vm:web.0 @a"}},
		"gone":                       {[]*v1alpha1.VirtualMachine{vm(placed("a")), nil}, []string{"DELETED vm:web.0 @a"}},
		"gone and never seen":        {[]*v1alpha1.VirtualMachine{nil}, nil},
		"a stopped VM is not placed": {[]*v1alpha1.VirtualMachine{vm(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped })}, nil},
		"a VM that shall be paused is not placed":    {[]*v1alpha1.VirtualMachine{vm(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerPaused })}, nil},
		"a VM that shall be suspended is not placed": {[]*v1alpha1.VirtualMachine{vm(func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerSuspended })}, nil},
		"a placed VM that is suspended stays":        {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(placed("a"), func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerSuspended })}, nil},
		"a VM that gave its place back leaves the scheduler's sight": {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Epoch, vm.Spec.PowerState = 1, v1alpha1.PowerStopped
		})}, []string{"DELETED vm:web.0 @a"}},
		"a VM that gave its place back is queued when it is started": {[]*v1alpha1.VirtualMachine{
			vm(func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch, vm.Spec.PowerState = 1, v1alpha1.PowerStopped }),
			vm(func(vm *v1alpha1.VirtualMachine) { vm.Status.Epoch, vm.Spec.PowerState = 1, v1alpha1.PowerRunning }),
		}, []string{"ADDED vm:web.1 @"}},
		"a VM that runs once is placed":                 {[]*v1alpha1.VirtualMachine{vm(once)}, []string{"ADDED vm:web.0 @"}},
		"a VM that runs once and has run is not placed": {[]*v1alpha1.VirtualMachine{vm(once, ran)}, nil},
		"one that may run again is":                     {[]*v1alpha1.VirtualMachine{vm(once, ran), vm(ran)}, []string{"ADDED vm:web.0 @"}},
		"a placed VM that is stopped stays":             {[]*v1alpha1.VirtualMachine{vm(placed("a")), vm(placed("a"), func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped })}, nil},
		"a held VM is not in the queue":                 {[]*v1alpha1.VirtualMachine{vm(func(vm *v1alpha1.VirtualMachine) { vm.Status.Hold = &v1alpha1.Hold{Generation: 1} })}, nil},
		"a changed spec ends the hold":                  {[]*v1alpha1.VirtualMachine{vm(func(vm *v1alpha1.VirtualMachine) { vm.Status.Hold = &v1alpha1.Hold{Generation: 1}; vm.Generation = 2 })}, []string{"ADDED vm:web.0 @"}},
		"an exclusion that ends is tried now": {[]*v1alpha1.VirtualMachine{
			vm(func(vm *v1alpha1.VirtualMachine) { vm.Status.ExcludedHosts = []v1alpha1.HostExclusion{{NodeName: "a"}} }), vm(),
		}, []string{"DELETED vm:web.0 @", "ADDED vm:web.0 @"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTranslator(classes{})
			var events []watch.Event
			for _, step := range test.steps {
				events = tr.apply(types.NamespacedName{Namespace: "ns", Name: "web"}, step)
			}
			var got []string
			for _, e := range events {
				pod := e.Object.(*corev1.Pod)
				got = append(got, string(e.Type)+" "+pod.Name+" @"+pod.Spec.NodeName)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func once(vm *v1alpha1.VirtualMachine) { vm.Spec.RunPolicy = v1alpha1.RunOnce }

// ran is a VM that ran in a binding before.
func ran(vm *v1alpha1.VirtualMachine) {
	vm.Status.Host = &v1alpha1.HostStatus{State: v1alpha1.HostGone, StartedAt: &created}
}

func TestADeletedPriorityClassDemotesNobody(t *testing.T) {
	known := classes{"high": {Value: 7, PreemptionPolicy: corev1.PreemptNever}}
	tr := newTranslator(known)
	key := types.NamespacedName{Namespace: "ns", Name: "web"}
	high := func(vm *v1alpha1.VirtualMachine) { vm.Spec.PriorityClassName = "high" }
	tr.apply(key, vm(high))
	delete(known, "high")
	tr.apply(key, vm(high, placed("a")))
	if got := tr.shown[key].Spec; *got.Priority != 7 || *got.PreemptionPolicy != corev1.PreemptNever {
		t.Errorf("priority %d, %s", *got.Priority, *got.PreemptionPolicy)
	}
}
