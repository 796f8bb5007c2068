package operation

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var webKey = types.NamespacedName{Namespace: "demo", Name: "web"}

func node(taints ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	for _, key := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
	return n
}

// stage is a controller whose cache is the API server itself.
type stage struct {
	t          *testing.T
	api        client.WithWatch
	controller *Controller
	clock      *clocktesting.FakeClock
	writes     int
}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	s := &stage{t: t, clock: clocktesting.NewFakeClock(now)}
	s.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.VirtualMachine{}, &v1alpha1.VirtualMachineOperation{}).
		WithIndex(&v1alpha1.VirtualMachineOperation{}, byVM, vmName).Build()
	counted := interceptor.NewClient(s.api, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			s.writes++
			return c.Patch(ctx, o, p, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			s.writes++
			err := c.SubResource(sub).Patch(ctx, o, p, opts...)
			if err != nil && strings.Contains(err.Error(), "test failed") {
				// As the API server says it.
				return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
			}
			return err
		},
	})
	s.controller = New(s.api, counted, s.clock)
	return s
}

func (s *stage) reconcile() time.Duration {
	s.t.Helper()
	result, err := s.controller.Reconcile(context.Background(), reconcile.Request{NamespacedName: webKey})
	if err != nil {
		s.t.Fatal(err)
	}
	return result.RequeueAfter
}

func (s *stage) get(name string) *v1alpha1.VirtualMachineOperation {
	s.t.Helper()
	op := &v1alpha1.VirtualMachineOperation{}
	err := s.api.Get(context.Background(), types.NamespacedName{Namespace: "demo", Name: name}, op)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return op
}

func TestOperationsOfAVMGoOneAtATime(t *testing.T) {
	second := asked(v1alpha1.OperationScreenshot, created(now.Add(time.Second)))
	second.Name, second.UID = "second", "second-uid"
	s := newStage(t, web(), node(), asked(v1alpha1.OperationReset), second)
	s.reconcile()
	s.reconcile()
	first := s.get("op")
	want := asked(v1alpha1.OperationReset, given)
	if diff := cmp.Diff(want.Status, first.Status); diff != "" {
		t.Errorf("status: %s", diff)
	}
	if diff := cmp.Diff(want.OwnerReferences, first.OwnerReferences); diff != "" {
		t.Errorf("owner: %s", diff)
	}
	if s.get("second").Status.NodeName != "" || s.writes != 2 {
		t.Errorf("second: %+v after %d writes", s.get("second").Status, s.writes)
	}

	first.Status.Phase = v1alpha1.OperationSucceeded
	first.Status.FinishedAt = &metav1.Time{Time: now}
	if err := s.api.Status().Update(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	if after := s.reconcile(); after != 61*time.Second {
		t.Errorf("looks again after %s, want the second one's time limit", after)
	}
	if s.get("second").Status.NodeName != "a" {
		t.Errorf("second: %+v", s.get("second").Status)
	}
	s.clock.Step(100 * time.Second)
	s.reconcile()
	if s.get("op") != nil {
		t.Error("the first one is still there")
	}
}

func TestARefusedOperationLetsTheNextPass(t *testing.T) {
	second := asked(v1alpha1.OperationScreenshot, created(now.Add(time.Second)))
	second.Name, second.UID = "second", "second-uid"
	s := newStage(t, web(state(v1alpha1.HostPaused)), node(), asked(v1alpha1.OperationSendKey), second)
	s.reconcile()
	if s.get("op").Status.Reason != v1alpha1.ReasonWrongState || s.get("second").Status.NodeName != "a" {
		t.Errorf("%+v, %+v", s.get("op").Status, s.get("second").Status)
	}
}

// TestAnOldCacheRefusesNothing: the cache has the VM as it was.
func TestAnOldCacheRefusesNothing(t *testing.T) {
	s := newStage(t, web(), node(), asked(v1alpha1.OperationReset))
	old := newStage(t, web(state(v1alpha1.HostStopped)), node(), asked(v1alpha1.OperationReset))
	op := s.get("op")
	old.controller.live = s.controller.live
	if err := old.api.Get(context.Background(), client.ObjectKeyFromObject(op), op); err != nil {
		t.Fatal(err)
	}
	old.reconcile()
	if got := s.get("op").Status; got.NodeName != "a" || got.Phase != v1alpha1.OperationPending {
		t.Errorf("%+v", got)
	}
}

func TestAHostThatCannotBeReached(t *testing.T) {
	for taint, why := range map[string]string{
		v1alpha1.ExecutorUnreachableTaint: "waiting for the host: a cannot be reached, its vm-executor has not been heard of (taint domus.dev/executor-unreachable)",
		v1alpha1.LibvirtUnavailableTaint:  "waiting for the host: a cannot be reached, its libvirt cannot be reached (taint domus.dev/libvirt-unavailable)",
	} {
		s := newStage(t, web(), node(taint), asked(v1alpha1.OperationReset))
		s.reconcile()
		s.reconcile()
		if got := s.get("op").Status; got.Message != why || got.Reason != v1alpha1.ReasonHostUnreachable || s.writes != 1 {
			t.Errorf("%+v after %d writes", got, s.writes)
		}
		if err := s.api.Update(context.Background(), node()); err != nil {
			t.Fatal(err)
		}
		s.reconcile()
		if got := s.get("op").Status; got.NodeName != "a" || got.Message != "" {
			t.Errorf("once it is back: %+v", got)
		}
	}
	s := newStage(t, web(), asked(v1alpha1.OperationReset))
	s.reconcile()
	if got := s.get("op").Status; got.Message != "waiting for the host: there is no Node a" {
		t.Errorf("%+v", got)
	}
}

// TestAFinishedOperationIsNotOverwritten: the host was faster than the cache.
func TestAFinishedOperationIsNotOverwritten(t *testing.T) {
	s := newStage(t, node(), asked(v1alpha1.OperationForceStop, given, finished(now)))
	old := newStage(t, node(), asked(v1alpha1.OperationForceStop, given))
	old.controller.live = s.controller.live
	old.reconcile() // the VM is gone, as far as it knows
	if got := s.get("op").Status; got.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("%+v", got)
	}
}

func TestWhatWakesTheController(t *testing.T) {
	s := newStage(t, web(), node(), asked(v1alpha1.OperationReset))
	want := []reconcile.Request{{NamespacedName: webKey}}
	ctx := context.Background()
	if diff := cmp.Diff(want, ofOperation(ctx, asked(v1alpha1.OperationReset))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, s.controller.ofVM(ctx, web())); diff != "" {
		t.Error(diff)
	}
	if got := s.controller.ofVM(ctx, &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "other"}}); got != nil {
		t.Errorf("a VM without operations: %v", got)
	}
	if diff := cmp.Diff(want, s.controller.ofNode(ctx, node())); diff != "" {
		t.Error(diff)
	}
	changes := reachabilityChanges()
	if changes.Update(event.UpdateEvent{ObjectOld: node(), ObjectNew: node("other")}) {
		t.Error("a taint of others wakes it")
	}
	if !changes.Update(event.UpdateEvent{ObjectOld: node(v1alpha1.ExecutorUnreachableTaint), ObjectNew: node()}) {
		t.Error("a host that is back does not wake it")
	}
}

// TestWhatWasWrittenIsNotWrittenAgain: the cache has not heard of it yet.
func TestWhatWasWrittenIsNotWrittenAgain(t *testing.T) {
	s := newStage(t, web(), node(), asked(v1alpha1.OperationReset))
	old := newStage(t, web(), node(), asked(v1alpha1.OperationReset))
	s.controller.cached = old.api
	s.reconcile()
	s.reconcile()
	if got := s.get("op").Status; got.NodeName != "a" || s.writes != 2 {
		t.Errorf("%+v after %d writes", got, s.writes)
	}
	s.controller.cached = s.api
	s.reconcile()
	if len(s.controller.own.of) != 0 || s.writes != 2 {
		t.Errorf("%v after %d writes", s.controller.own.of, s.writes)
	}
}

func TestAForceStopGoesFirst(t *testing.T) {
	restart, reset := asked(v1alpha1.OperationRestart, given), asked(v1alpha1.OperationReset)
	reset.Name, reset.UID = "reset", "reset-uid"
	later := asked(v1alpha1.OperationScreenshot, created(now.Add(2*time.Second)))
	later.Name, later.UID = "later", "later-uid"
	s := newStage(t, web(), node(), restart, reset, plug(), later)
	s.reconcile()
	for name, reason := range map[string]string{"op": v1alpha1.ReasonSuperseded, "reset": v1alpha1.ReasonSuperseded, "plug": "", "later": ""} {
		if got := s.get(name).Status; got.Reason != reason || (got.NodeName == "a") != (name == "op" || name == "plug") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// What came first is over, the plug owned and given: four writes.
	if s.writes != 4 {
		t.Errorf("%d writes", s.writes)
	}
}

// TestAForceStopWaitsForTheEndOfWhatItOvertakes: the host was faster, and its word
// is on its way into the cache.
func TestAForceStopWaitsForTheEndOfWhatItOvertakes(t *testing.T) {
	s := newStage(t, web(), node(), asked(v1alpha1.OperationRestart, given, finished(now)), plug())
	old := newStage(t, web(), node(), asked(v1alpha1.OperationRestart, given), plug())
	old.controller.live = s.controller.live
	if after := old.reconcile(); after != again {
		t.Errorf("looks again in %s", after)
	}
	if got := s.get("op").Status; got.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("%+v", got)
	}
	if got := s.get("plug").Status; got.NodeName != "" {
		t.Errorf("%+v", got)
	}
}

// TestAnOldCacheRemovesNothing: the VM is there, and the cache has not heard of it.
func TestAnOldCacheRemovesNothing(t *testing.T) {
	s := newStage(t, web(), node(), asked(v1alpha1.OperationReset, given, finished(now)))
	s.controller.cached = newStage(t, node(), asked(v1alpha1.OperationReset, given, finished(now))).api
	s.reconcile()
	if s.get("op") == nil {
		t.Fatal("the operation of a VM that is there was removed")
	}
	if err := s.api.Delete(context.Background(), web()); err != nil {
		t.Fatal(err)
	}
	s.reconcile()
	if s.get("op") != nil {
		t.Error("it is still there without its VM")
	}
}
