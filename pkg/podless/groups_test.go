package podless

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fakediscovery "k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestGroupsNeedAServerThatKnowsThem(t *testing.T) {
	served := func(resources ...string) []*metav1.APIResourceList {
		list := &metav1.APIResourceList{GroupVersion: "scheduling.k8s.io/v1beta1"}
		for _, r := range resources {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: r})
		}
		return []*metav1.APIResourceList{list}
	}
	for name, test := range map[string]struct {
		served []*metav1.APIResourceList
		want   error
	}{
		"serves them":                     {served("workloads", "podgroups", "podgroups/status"), nil},
		"serves the version without them": {served("workloads"), ErrNoPodGroups},
		"does not serve the version":      {nil, ErrNoPodGroups},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakediscovery.FakeDiscovery{Fake: &clienttesting.Fake{Resources: test.served}}
			if err := requirePodGroups(server); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	t.Run("is away", func(t *testing.T) {
		away := errors.New("connection refused")
		server := &fakediscovery.FakeDiscovery{Fake: &clienttesting.Fake{}}
		server.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, away })
		if err := requirePodGroups(server); !errors.Is(err, away) || errors.Is(err, ErrNoPodGroups) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhoCountsInAGroup(t *testing.T) {
	deleted := created
	for name, test := range map[string]struct {
		change []func(*v1alpha1.VirtualMachine)
		want   bool
	}{
		"waits for a host":      {nil, true},
		"holds a host":          {[]func(*v1alpha1.VirtualMachine){placed("a")}, true},
		"holds one and stopped": {[]func(*v1alpha1.VirtualMachine){placed("a"), func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }}, true},
		"shall not run":         {[]func(*v1alpha1.VirtualMachine){func(vm *v1alpha1.VirtualMachine) { vm.Spec.PowerState = v1alpha1.PowerStopped }}, false},
		"is evicted":            {[]func(*v1alpha1.VirtualMachine){placed("a"), func(vm *v1alpha1.VirtualMachine) { vm.Status.Eviction = &v1alpha1.Eviction{} }}, false},
		"is being deleted":      {[]func(*v1alpha1.VirtualMachine){placed("a"), func(vm *v1alpha1.VirtualMachine) { vm.DeletionTimestamp = &deleted }}, false},
		"names no group":        {[]func(*v1alpha1.VirtualMachine){func(vm *v1alpha1.VirtualMachine) { vm.Spec.SchedulingGroup = nil }}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inGroup := func(vm *v1alpha1.VirtualMachine) {
				vm.Spec.SchedulingGroup = &v1alpha1.SchedulingGroup{PodGroupName: "db"}
			}
			vm := vm(append([]func(*v1alpha1.VirtualMachine){inGroup}, test.change...)...)
			if got := Member(vm); got != test.want {
				t.Errorf("counts is %t, want %t", got, test.want)
			}
			if pod := Project(vm, defaultPriority); pod != nil && (pod.Spec.SchedulingGroup != nil) != test.want {
				t.Errorf("projected with group %v, want one: %t", pod.Spec.SchedulingGroup, test.want)
			}
		})
	}
}

func TestARealPodIsNoVictimAndNoMember(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "db", Labels: map[string]string{"app": "db"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
	}}
	pod.Spec = corev1.PodSpec{NodeName: "a", Priority: ptr.To[int32](-5), SchedulingGroup: &corev1.PodSchedulingGroup{PodGroupName: ptr.To("db")}}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db", Labels: map[string]string{"app": "db"}},
		Spec:       corev1.PodSpec{NodeName: "a", Priority: ptr.To[int32](math.MaxInt32)},
	}
	got, err := apart(pod)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}
