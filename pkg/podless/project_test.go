package podless

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func TestProjectTheLeastVM(t *testing.T) {
	got := Project(vm(), Priority{Value: 5, PreemptionPolicy: corev1.PreemptLowerPriority})
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vm:web.0", UID: "u1.0", ResourceVersion: "1", Generation: 1, CreationTimestamp: created,
			Annotations: map[string]string{"domus.dev/overhead": strconv.FormatInt(capacity.Desired(&vm().Spec).Overhead, 10)}},
		Spec: corev1.PodSpec{
			SchedulerName: "vm-scheduler", Priority: ptr.To[int32](5), PreemptionPolicy: ptr.To(corev1.PreemptLowerPriority),
			Tolerations: []corev1.Toleration{{Key: v1alpha1.HypervisorTaint, Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{Name: "domain", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("2"),
				corev1.ResourceMemory: *resource.NewQuantity(1<<30+capacity.Desired(&vm().Spec).Overhead, resource.BinarySI),
			}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("projection (-want +got):\n%s", diff)
	}
}

func TestRequestOfReadsBackWhatWasProjected(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.VirtualMachine){
		"ordinary memory": func(*v1alpha1.VirtualMachine) {},
		"2Mi pages": func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize2Mi}
		},
		"1Gi pages": func(vm *v1alpha1.VirtualMachine) {
			vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi}
		},
		"granted more than is asked for now": func(vm *v1alpha1.VirtualMachine) {
			vm.Status.Placement = &v1alpha1.Placement{NodeName: "a", Granted: v1alpha1.GrantedResources{CPU: 8, Memory: 4 << 30}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			vm := vm(change)
			if diff := cmp.Diff(capacity.Request(capacity.Desired(&vm.Spec), vm.Status.Placement), RequestOf(Project(vm, defaultPriority))); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExcludedHostsAreAddedToEveryAlternative(t *testing.T) {
	fast := corev1.NodeSelectorRequirement{Key: "disk", Operator: corev1.NodeSelectorOpIn, Values: []string{"fast"}}
	near := corev1.NodeSelectorRequirement{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}
	affinity := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{fast}}, {MatchExpressions: []corev1.NodeSelectorRequirement{near}}},
	}}}
	before := affinity.DeepCopy()
	not := func(node string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{node}}
	}
	hosts := []v1alpha1.HostExclusion{{NodeName: "a"}, {NodeName: "b"}}
	fields := []corev1.NodeSelectorRequirement{not("a"), not("b")}

	got := withoutHosts(affinity, hosts).NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	want := []corev1.NodeSelectorTerm{
		{MatchExpressions: []corev1.NodeSelectorRequirement{fast}, MatchFields: fields},
		{MatchExpressions: []corev1.NodeSelectorRequirement{near}, MatchFields: fields},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("terms (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, affinity); diff != "" {
		t.Errorf("the VM's own affinity was changed (-before +after):\n%s", diff)
	}
	alone := withoutHosts(nil, hosts).NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if diff := cmp.Diff([]corev1.NodeSelectorTerm{{MatchFields: fields}}, alone); diff != "" {
		t.Errorf("terms without an affinity (-want +got):\n%s", diff)
	}
}

func TestAnEvictionShowsAsATerminatingPod(t *testing.T) {
	at := metav1.NewTime(created.Add(time.Minute))
	pod := Project(vm(placed("a"), func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Eviction = &v1alpha1.Eviction{Reason: "Preempted", Message: "why", RequestedAt: at}
	}), defaultPriority)
	if pod.DeletionTimestamp == nil || !pod.DeletionTimestamp.Equal(&at) || pod.Spec.NodeName != "a" {
		t.Errorf("deletion %v on %q", pod.DeletionTimestamp, pod.Spec.NodeName)
	}
	if !hasCondition(&pod.Status, corev1.DisruptionTarget) {
		t.Errorf("conditions %+v", pod.Status.Conditions)
	}
}

func TestConditionsSurviveTheWayThereAndBack(t *testing.T) {
	c := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes",
		ObservedGeneration: 4, LastTransitionTime: created,
	}
	back := vmCondition(&c)
	if diff := cmp.Diff(c, podScheduled(&back)); diff != "" {
		t.Errorf("condition (-want +got):\n%s", diff)
	}
}

func TestIdentity(t *testing.T) {
	id := Identity{Namespace: "ns", Name: "a.b.7", UID: "u-1", Epoch: 12}
	got, ok := ParsePod("ns", PodName(id.Name, id.Epoch), PodUID(id.UID, id.Epoch))
	if !ok || got != id {
		t.Errorf("read back %+v, %t", got, ok)
	}
	for name, pod := range map[string][2]string{
		"a real pod":               {"web.0", "u-1.0"},
		"no epoch":                 {"vm:web", "u-1.0"},
		"no number":                {"vm:web.x", "u-1.0"},
		"a negative epoch":         {"vm:web.-1", "u-1.-1"},
		"epochs that do not agree": {"vm:web.1", "u-1.2"},
		"no name":                  {"vm:.1", "u-1.1"},
	} {
		if id, ok := ParsePod("ns", pod[0], types.UID(pod[1])); ok {
			t.Errorf("%s was read as %+v", name, id)
		}
	}
	if VMName("vm:web.3") != "web" || VMName("web.3") != "web.3" {
		t.Errorf("names %q, %q", VMName("vm:web.3"), VMName("web.3"))
	}
}
