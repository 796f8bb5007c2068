package podless

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"
	"k8s.io/utils/clock"
)

// recordingWriter notes what it is asked to write.
type recordingWriter struct{ calls []string }

func (w *recordingWriter) Pending(_ context.Context, vm Identity, c *metav1.Condition, nominated string) error {
	said := "<nil>"
	if c != nil {
		said = fmt.Sprintf("%s=%s %s %q", c.Type, c.Status, c.Reason, c.Message)
	}
	w.calls = append(w.calls, fmt.Sprintf("pending %s/%s epoch %d: %s nominated %q", vm.Namespace, vm.Name, vm.Epoch, said, nominated))
	return nil
}

func (w *recordingWriter) GrowthPending(_ context.Context, vm Identity, c *metav1.Condition) error {
	w.calls = append(w.calls, fmt.Sprintf("growth of %s/%s epoch %d: %s=%s %s %q of generation %d", vm.Namespace, vm.Name, vm.Epoch, c.Type, c.Status, c.Reason, c.Message, c.ObservedGeneration))
	return nil
}

func (w *recordingWriter) Evict(_ context.Context, vm Identity, reason, _ string) error {
	w.calls = append(w.calls, fmt.Sprintf("evict %s/%s epoch %d: %s", vm.Namespace, vm.Name, vm.Epoch, reason))
	return nil
}

func newTestClient(t *testing.T, pod *corev1.Pod) (*client, *recordingWriter, *fake.Clientset) {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := indexer.Add(pod); err != nil {
		t.Fatal(err)
	}
	real, w := fake.NewClientset(), &recordingWriter{}
	return newClient(real, corelisters.NewPodLister(indexer), w, newSayings(clock.RealClock{})), w, real
}

func TestTheSchedulersWritesBecomeVMWrites(t *testing.T) {
	pod := Project(vm(), defaultPriority)
	c, w, real := newTestClient(t, pod)

	status := pod.Status.DeepCopy()
	status.NominatedNodeName = "a"
	status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1"}}
	if err := schedutil.PatchPodStatus(t.Context(), c, pod.Name, pod.Namespace, &pod.Status, status); err != nil {
		t.Fatal(err)
	}
	// A victim is marked, which the eviction says too, and then deleted.
	marked := pod.Status.DeepCopy()
	marked.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "PreemptionByScheduler"}}
	if err := schedutil.PatchPodStatus(t.Context(), c, pod.Name, pod.Namespace, &pod.Status, marked); err != nil {
		t.Fatal(err)
	}
	if err := schedutil.DeletePod(t.Context(), c, pod); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`pending ns/web epoch 0: Scheduled=False Unschedulable "0/1" nominated "a"`,
		`evict ns/web epoch 0: Preempted`,
	}
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("writes on VMs (-want +got):\n%s", diff)
	}
	if n := len(real.Actions()); n != 0 {
		t.Errorf("%d calls reached the API server: %v", n, real.Actions())
	}
}

func TestAnEndedEpochIsNotFound(t *testing.T) {
	c, w, _ := newTestClient(t, Project(vm(epoch(2)), defaultPriority))
	before := corev1.PodStatus{}
	after := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse}}}
	err := schedutil.PatchPodStatus(t.Context(), c, PodName("web", 1), "ns", &before, &after)
	if !apierrors.IsNotFound(err) || len(w.calls) != 0 {
		t.Errorf("%v, %v", err, w.calls)
	}
}

// The scheduler takes a victim that is not found for one that it evicted, and
// waits for a deletion that has been.
func TestAVictimThatHasLeftIsAnError(t *testing.T) {
	c, w, _ := newTestClient(t, Project(vm(epoch(2)), defaultPriority))
	before := corev1.PodStatus{}
	marked := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}
	for what, err := range map[string]error{
		"marking":  schedutil.PatchPodStatus(t.Context(), c, PodName("web", 1), "ns", &before, &marked),
		"evicting": c.CoreV1().Pods("ns").Delete(t.Context(), PodName("web", 1), metav1.DeleteOptions{}),
	} {
		if !errors.Is(err, ErrVictimGone) || apierrors.IsNotFound(err) || len(w.calls) != 0 {
			t.Errorf("%s: %v, %v", what, err, w.calls)
		}
	}
}

func TestEveryPodWriteIsRefused(t *testing.T) {
	pod := Project(vm(), defaultPriority)
	c, w, real := newTestClient(t, pod)
	realPod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "real"}}
	ctx := t.Context()
	for name, write := range map[string]func(typedcorev1.PodInterface, *corev1.Pod) error{
		"create": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.Create(ctx, pod, metav1.CreateOptions{})
			return err
		},
		"update": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.Update(ctx, pod, metav1.UpdateOptions{})
			return err
		},
		"update status": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
			return err
		},
		"patch": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.Patch(ctx, pod.Name, types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
			return err
		},
		"bind": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			return p.Bind(ctx, &corev1.Binding{ObjectMeta: pod.ObjectMeta}, metav1.CreateOptions{})
		},
		"delete all": func(p typedcorev1.PodInterface, _ *corev1.Pod) error {
			return p.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		},
		"apply": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.Apply(ctx, applycorev1.Pod(pod.Name, pod.Namespace), metav1.ApplyOptions{})
			return err
		},
		"apply status": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.ApplyStatus(ctx, applycorev1.Pod(pod.Name, pod.Namespace), metav1.ApplyOptions{})
			return err
		},
		"evict": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			return p.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: pod.ObjectMeta})
		},
		"resize": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.UpdateResize(ctx, pod.Name, pod, metav1.UpdateOptions{})
			return err
		},
		"ephemeral": func(p typedcorev1.PodInterface, pod *corev1.Pod) error {
			_, err := p.UpdateEphemeralContainers(ctx, pod.Name, pod, metav1.UpdateOptions{})
			return err
		},
	} {
		for _, target := range []*corev1.Pod{realPod, pod} {
			err := write(c.CoreV1().Pods("ns"), target)
			if !errors.Is(err, ErrRealPod) && !errors.Is(err, ErrUnsupportedWrite) {
				t.Errorf("%s of %s: %v", name, target.Name, err)
			}
		}
	}
	if err := c.CoreV1().Pods("ns").Delete(ctx, "real", metav1.DeleteOptions{}); !errors.Is(err, ErrRealPod) {
		t.Errorf("delete of a real pod: %v", err)
	}
	if len(real.Actions()) != 0 || len(w.calls) != 0 {
		t.Errorf("reached the API server: %v, VMs: %v", real.Actions(), w.calls)
	}
}

// A write that a later client-go adds must be refused here too.
func TestNoPodMethodIsUnknown(t *testing.T) {
	known := map[string]bool{"Get": true, "List": true, "Watch": true, "GetLogs": true, "ProxyGet": true}
	for _, written := range []string{
		"Create", "Update", "UpdateStatus", "UpdateEphemeralContainers", "UpdateResize", "Delete", "DeleteCollection",
		"Patch", "Apply", "ApplyStatus", "Bind", "Evict", "EvictV1", "EvictV1beta1",
	} {
		known[written] = true
	}
	methods := reflect.TypeFor[typedcorev1.PodInterface]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !known[name] {
			t.Errorf("PodInterface.%s is neither known to read nor refused", name)
		}
	}
}
