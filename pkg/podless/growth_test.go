package podless

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// running is a VM on host a whose guest of 2 vCPUs and 1Gi runs, and may have 4
// and 4Gi.
func running(vm *v1alpha1.VirtualMachine) {
	most := resource.MustParse("4Gi")
	vm.Spec.Resources.MaxCPU, vm.Spec.Resources.MaxMemory = 4, &most
	vm.Status.Placement = &v1alpha1.Placement{NodeName: "a", Granted: Desired(vm)}
	vm.Status.Host = &v1alpha1.HostStatus{Epoch: vm.Status.Epoch, State: v1alpha1.HostRunning}
}

// asks has a VM's spec ask for another size.
func asks(generation int64, cpu int32, memory string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Generation, vm.Spec.Resources.CPU, vm.Spec.Resources.Memory = generation, cpu, resource.MustParse(memory)
	}
}

// has grants what the spec asks for.
func has(vm *v1alpha1.VirtualMachine) { vm.Status.Placement.Granted = Desired(vm) }

func pends(reason string, generation int64) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Conditions = append(vm.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionResizePending, Status: metav1.ConditionTrue, Reason: reason, Message: "why", ObservedGeneration: generation,
		})
	}
}

func TestGrowthIsAPodOfItsOwn(t *testing.T) {
	m := vm(epoch(3), running, asks(7, 4, "3Gi"), func(vm *v1alpha1.VirtualMachine) {
		vm.Labels = map[string]string{"app": "web"}
		vm.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}}
		vm.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{}}
		vm.Spec.SchedulingGroup = &v1alpha1.SchedulingGroup{PodGroupName: "g"}
	}, pends(v1alpha1.ReasonGrowthWaits, 7))
	value, never := int32(5), corev1.PreemptNever
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vm:web.3+7", UID: "u1.3+7", ResourceVersion: "1", Generation: 7, CreationTimestamp: created},
		Spec: corev1.PodSpec{
			SchedulerName: "growth of vm-scheduler", Priority: &value, PreemptionPolicy: &never,
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}}}},
			}}},
			Containers: []corev1.Container{{Name: "domain", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: *resource.NewQuantity(2, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(2<<30, resource.BinarySI),
			}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "why", ObservedGeneration: 7,
		}}},
	}
	pod := ProjectGrowth(m, Priority{Value: 5, PreemptionPolicy: corev1.PreemptLowerPriority})
	if diff := cmp.Diff(want, pod); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
	if id, generation, ok := ParseGrowth(pod.Namespace, pod.Name, pod.UID); !ok || id != m.Owner() || generation != 7 {
		t.Errorf("it stands for %+v of generation %d, %t", id, generation, ok)
	}
	if _, ok := ParsePod(pod.Namespace, pod.Name, pod.UID); ok {
		t.Error("it is taken for a VM")
	}
	if r, err := NUMARequestOf(pod); err != nil || !r.Grows || !r.Floats() || r.Amounts() != (capacity.Resources{CPU: 2, Memory: 2 << 30}) {
		t.Errorf("it asks for %+v, %v", r, err)
	}
	if own := Project(m, Priority{}); IsGrowth(own.Name) || RequestOf(own).CPU != 2 {
		t.Errorf("the VM's own Pod: %s asks for %+v", own.Name, RequestOf(own))
	}
	if got := VMName(pod.Name); got != "web" {
		t.Errorf("the VM's name is %q", got)
	}
}

func TestWhoGrows(t *testing.T) {
	at := created
	for name, test := range map[string]struct {
		change []func(*v1alpha1.VirtualMachine)
		want   capacity.Resources
	}{
		"CPUs":                              {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi")}, capacity.Resources{CPU: 1}},
		"memory":                            {[]func(*v1alpha1.VirtualMachine){running, asks(2, 2, "4Gi")}, capacity.Resources{Memory: 3 << 30}},
		"CPUs, while memory shrinks":        {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "512Mi")}, capacity.Resources{CPU: 1}},
		"one that asks for nothing":         {[]func(*v1alpha1.VirtualMachine){running}, capacity.Resources{}},
		"one that asks for less":            {[]func(*v1alpha1.VirtualMachine){running, asks(2, 1, "512Mi")}, capacity.Resources{}},
		"beyond what it was started for":    {[]func(*v1alpha1.VirtualMachine){running, asks(2, 5, "5Gi")}, capacity.Resources{}},
		"one that cannot":                   {[]func(*v1alpha1.VirtualMachine){placed("a"), asks(2, 5, "5Gi")}, capacity.Resources{}},
		"one that waits":                    {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.Status.Placement = nil }}, capacity.Resources{}},
		"its host has said nothing":         {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.Status.Host = nil }}, capacity.Resources{}},
		"its host speaks of another epoch":  {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.Epoch = 9 }}, capacity.Resources{}},
		"paused":                            {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State = v1alpha1.HostPaused }}, capacity.Resources{}},
		"to be stopped":                     {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }}, capacity.Resources{}},
		"being evicted":                     {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.Status.Eviction = &v1alpha1.Eviction{} }}, capacity.Resources{}},
		"being deleted":                     {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = &at }}, capacity.Resources{}},
		"refused, and not taken back yet":   {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.Refused = &v1alpha1.GrowthRefusal{} }}, capacity.Resources{}},
		"refused lately":                    {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), pends(v1alpha1.ReasonHostRefused, 2)}, capacity.Resources{}},
		"refused, and something else asked": {[]func(*v1alpha1.VirtualMachine){running, asks(3, 3, "1Gi"), pends(v1alpha1.ReasonHostRefused, 2)}, capacity.Resources{CPU: 1}},
		"one that waits to grow":            {[]func(*v1alpha1.VirtualMachine){running, asks(2, 3, "1Gi"), pends(v1alpha1.ReasonGrowthWaits, 2)}, capacity.Resources{CPU: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got capacity.Resources
			if g := GrowthOf(vm(test.change...)); g != nil {
				got = g.Needs
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTranslateGrowth(t *testing.T) {
	for name, test := range map[string]struct {
		steps []*v1alpha1.VirtualMachine
		// want are the events of the last step: type, Pod, vCPUs.
		want []string
	}{
		"a guest that is to grow": {[]*v1alpha1.VirtualMachine{vm(running), vm(running, asks(2, 4, "1Gi"))},
			[]string{"MODIFIED vm:web.0 2", "ADDED vm:web.0+2 2"}},
		"what is granted is counted before it is held no more": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), vm(running, asks(2, 4, "1Gi"), has)},
			[]string{"MODIFIED vm:web.0 4", "DELETED vm:web.0+2 2"}},
		"another size asked for meanwhile": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), vm(running, asks(3, 3, "1Gi"), grantedBefore)},
			[]string{"MODIFIED vm:web.0 2", "DELETED vm:web.0+2 2", "ADDED vm:web.0+3 1"}},
		"granted, and more asked for": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 3, "1Gi"), grantedBefore), vm(running, asks(3, 3, "1Gi"), has, asks(3, 4, "1Gi"))},
			[]string{"MODIFIED vm:web.0 3", "DELETED vm:web.0+2 1", "ADDED vm:web.0+3 1"}},
		"edited back": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), vm(running, asks(3, 2, "1Gi"))},
			[]string{"MODIFIED vm:web.0 2", "DELETED vm:web.0+2 2"}},
		"evicted meanwhile": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), vm(running, asks(2, 4, "1Gi"), grantedBefore, func(vm *v1alpha1.VirtualMachine) { vm.Status.Eviction = &v1alpha1.Eviction{} })},
			[]string{"MODIFIED vm:web.0 2", "DELETED vm:web.0+2 2"}},
		"gone": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), nil},
			[]string{"DELETED vm:web.0 2", "DELETED vm:web.0+2 2"}},
		"given up by its host": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), vm(epoch(1), asks(2, 4, "1Gi"))},
			[]string{"DELETED vm:web.0 2", "ADDED vm:web.1 4", "DELETED vm:web.0+2 2"}},
		"why it waits is written on it": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), vm(running, asks(2, 4, "1Gi"), grantedBefore, pends(v1alpha1.ReasonGrowthWaits, 2))},
			[]string{"MODIFIED vm:web.0+2 2"}},
		"what its host reports is no event": {[]*v1alpha1.VirtualMachine{vm(running, asks(2, 4, "1Gi"), grantedBefore), vm(running, asks(2, 4, "1Gi"), grantedBefore, func(vm *v1alpha1.VirtualMachine) {
			vm.ResourceVersion, vm.Status.Host.CPU, vm.Status.Host.Memory = "2", 2, 1<<30
		})}, nil},
		"memory that was given back": {[]*v1alpha1.VirtualMachine{vm(running), vm(running, asks(1, 2, "512Mi"), has)}, []string{"MODIFIED vm:web.0 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			source := newTranslator(classes{})
			var got []string
			for i, step := range test.steps {
				for _, e := range source.apply(types.NamespacedName{Namespace: "ns", Name: "web"}, step) {
					if pod := e.Object.(*corev1.Pod); i == len(test.steps)-1 {
						got = append(got, fmt.Sprintf("%s %s %d", e.Type, pod.Name, RequestOf(pod).CPU))
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			shown := 0
			for range source.all() {
				shown++
			}
			if shown != len(source.shown)+len(source.growing) {
				t.Errorf("%d Pods are listed", shown)
			}
		})
	}
}

// grantedBefore grants what running does, whatever is asked for since.
func grantedBefore(vm *v1alpha1.VirtualMachine) {
	vm.Status.Placement.Granted.CPU, vm.Status.Placement.Granted.Memory = 2, 1<<30
}

func TestParseGrowthTakesNothingElse(t *testing.T) {
	for _, pair := range [][2]string{
		{"vm:web.3", "u1.3"}, {"vm:web.3+7", "u1.3+8"}, {"vm:web.3+7", "u1.3"}, {"vm:web.3+", "u1.3+"}, {"vm:web.3+x", "u1.3+x"},
		{"vm:web.3+7", "u1.4+7"}, {"web.3+7", "u1.3+7"}, {"vm:web+7", "u1+7"}, {"vm:web.3+-7", "u1.3+-7"},
	} {
		if id, _, ok := ParseGrowth("ns", pair[0], types.UID(pair[1])); ok {
			t.Errorf("%s with UID %s is %+v", pair[0], pair[1], id)
		}
	}
}

func TestNoVMChoosesAProfileOfGrowth(t *testing.T) {
	pod := Project(vm(func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulerName = "growth of vm-scheduler" }), defaultPriority)
	if pod.Spec.SchedulerName == growthProfile(v1alpha1.DefaultSchedulerName) {
		t.Error("it would be placed on hosts that it may not use")
	}
}

func TestWhatTheSchedulerSaysOfGrowth(t *testing.T) {
	m := vm(running, asks(7, 4, "1Gi"), grantedBefore)
	pod := ProjectGrowth(m, defaultPriority)
	c, w, real := newTestClient(t, pod)
	say := func(pod *corev1.Pod, reason string) error {
		status := pod.Status.DeepCopy()
		status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: "full"}}
		return schedutil.PatchPodStatus(t.Context(), c, pod.Name, pod.Namespace, &pod.Status, status)
	}
	if err := errors.Join(say(pod, "Unschedulable"), say(pod, "SchedulerError")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`growth of ns/web epoch 0: ResizePending=True GrowthWaits "full" of generation 7`,
		`growth of ns/web epoch 0: ResizePending=True SchedulerError "full" of generation 7`,
	}
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if err := c.CoreV1().Pods("ns").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); !errors.Is(err, ErrUnsupportedWrite) || len(w.calls) != 2 {
		t.Errorf("as a victim: %v, %v", err, w.calls)
	}
	if len(real.Actions()) != 0 {
		t.Errorf("real pods were touched: %v", real.Actions())
	}
}

func TestProfilesOfGrowth(t *testing.T) {
	plugins := func(names ...string) *config.Plugins {
		p := &config.Plugins{}
		for _, n := range names {
			p.MultiPoint.Enabled = append(p.MultiPoint.Enabled, config.Plugin{Name: n, Weight: 3})
		}
		return p
	}
	args := []config.PluginConfig{{Name: "Fits", Args: &config.InterPodAffinityArgs{HardPodAffinityWeight: 7}}, {Name: "Taints"}}
	got := withGrowth([]config.KubeSchedulerProfile{
		{SchedulerName: "one", Plugins: plugins("PrioritySort", "Taints", "NodeAffinity", "Fits", "Binds"), PluginConfig: args},
		{SchedulerName: "two", Plugins: plugins("PrioritySort", "Binds")},
	}, []string{"Fits", "Binds"})
	want := map[string][]string{
		"one": {"PrioritySort", "Taints", "NodeAffinity", "Fits", "Binds"}, "growth of one": {"PrioritySort", "NodeAffinity", "Fits", "Binds"},
		"two": {"PrioritySort", "Binds"}, "growth of two": {"PrioritySort", "NodeAffinity", "Binds"},
	}
	have := map[string][]string{}
	for _, p := range got {
		for _, plugin := range p.Plugins.MultiPoint.Enabled {
			have[p.SchedulerName] = append(have[p.SchedulerName], plugin.Name)
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append([]config.PluginConfig{{Name: "NodeAffinity", Args: &config.NodeAffinityArgs{}}}, args[0]), got[2].PluginConfig); diff != "" {
		t.Errorf("its settings: %s", diff)
	}
	if left := withGrowth(got[:2], nil); len(left) != 2 {
		t.Errorf("where nobody decides: %v", left)
	}
}
