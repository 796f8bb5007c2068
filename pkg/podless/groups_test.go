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
