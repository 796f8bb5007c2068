package heartbeat

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/util/taints"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// own is a taint that is not ours.
var own = corev1.Taint{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule}

// world is the host a, whose Lease was renewed at start.
type world struct {
	t          *testing.T
	client     client.WithWatch
	clock      *clocktesting.FakePassiveClock
	controller *Controller
	// unanswered is what reading from the API server itself comes to.
	unanswered error
	// stale is the Lease that the cache has, if not the newest.
	stale *coordinationv1.Lease
}

func newWorld(t *testing.T) *world {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.LeaseNamespace, Name: "a"}}
	renewed := metav1.NewMicroTime(start)
	lease.Spec.RenewTime = &renewed
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	node.Spec.Taints = []corev1.Taint{own}
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(start)}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(hv).WithObjects(lease, node, hv).Build()
	w.lead()
	return w
}

// lead has a new process lead.
func (w *world) lead() {
	cached := interceptor.NewClient(w.client, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
		if lease, is := obj.(*coordinationv1.Lease); is && w.stale != nil {
			w.stale.DeepCopyInto(lease)
			return nil
		}
		return c.Get(ctx, key, obj, opts...)
	}})
	live := interceptor.NewClient(w.client, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
		if w.unanswered != nil {
			return w.unanswered
		}
		return c.Get(ctx, key, obj, opts...)
	}})
	w.controller = New(cached, live, w.clock)
}

func (w *world) get(obj client.Object, namespace string) {
	w.t.Helper()
	if err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: "a"}, obj); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) lease() *coordinationv1.Lease {
	w.t.Helper()
	lease := &coordinationv1.Lease{}
	w.get(lease, v1alpha1.LeaseNamespace)
	return lease
}

// renews renews the Lease, which the watch tells of.
func (w *world) renews() {
	w.t.Helper()
	lease := w.lease()
	renewed := metav1.NewMicroTime(w.clock.Now())
	lease.Spec.RenewTime = &renewed
	if err := w.client.Update(w.t.Context(), lease); err != nil {
		w.t.Fatal(err)
	}
	w.controller.afterRenewal(w.t.Context(), lease)
}

// at looks at the host, that long after start.
func (w *world) at(after time.Duration) (reconcile.Result, error) {
	w.clock.SetTime(start.Add(after))
	return w.controller.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "a"}})
}

// is fails the test unless the host is held to be silent, or not.
func (w *world) is(silent bool, when string) {
	w.t.Helper()
	node, hv := &corev1.Node{}, &v1alpha1.Hypervisor{}
	w.get(node, "")
	w.get(hv, "")
	if len(node.Spec.Taints) == 0 || node.Spec.Taints[0] != own {
		w.t.Errorf("%s: another's taint is gone: %v", when, node.Spec.Taints)
	}
	if got := taints.TaintKeyExists(node.Spec.Taints, v1alpha1.ExecutorUnreachableTaint); got != silent {
		w.t.Errorf("%s: tainted %t", when, got)
	}
	if ready := meta.FindStatusCondition(hv.Status.Conditions, v1alpha1.HypervisorReady); silent && (ready == nil || ready.Status != metav1.ConditionUnknown) {
		w.t.Errorf("%s: ready %+v", when, ready)
	}
}

func (w *world) look(after time.Duration) reconcile.Result {
	w.t.Helper()
	result, err := w.at(after)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

func TestASilentHostIsTaintedUntilItIsHeardAgain(t *testing.T) {
	w := newWorld(t)
	w.look(0)
	if result := w.look(10 * time.Second); result.RequeueAfter != 31*time.Second {
		t.Errorf("looks again in %s", result.RequeueAfter)
	}
	w.is(false, "within the grace")
	w.look(Grace)
	w.is(true, "after the grace")
	if requests := w.controller.afterRenewal(t.Context(), w.lease()); len(requests) != 1 {
		t.Errorf("a renewal of a silent host wakes %v", requests)
	}
	w.renews()
	w.look(Grace + time.Second)
	w.is(false, "after it was heard again")
}

func TestRenewalsAreCountedFromWhenTheyAreSeen(t *testing.T) {
	w := newWorld(t)
	w.look(0)
	w.clock.SetTime(start.Add(30 * time.Second))
	w.renews()
	if result := w.look(40 * time.Second); result.RequeueAfter != 31*time.Second {
		t.Errorf("looks again in %s", result.RequeueAfter)
	}
	w.is(false, "10s after a renewal")
	w.look(70 * time.Second)
	w.is(true, "40s after it")
}

// Nobody could renew while the API server was away, and who leads from now on has
// not heard of anybody yet.
func TestANewLeaderGivesEveryHostItsGrace(t *testing.T) {
	w := newWorld(t)
	w.look(time.Hour)
	w.is(false, "first seen, an hour old")
	w.look(time.Hour + Grace - time.Second)
	w.is(false, "within the grace")
	w.look(time.Hour + Grace)
	w.is(true, "after it")

	w.lead()
	w.look(2 * time.Hour)
	w.is(true, "to the next leader, which has not heard of it either")
	w.renews()
	w.look(2*time.Hour + time.Second)
	w.is(false, "heard by that one")
}

func TestAnAPIServerThatDoesNotAnswerSaysNothingOfHosts(t *testing.T) {
	w := newWorld(t)
	w.look(0)
	w.unanswered = errors.New("connection refused")
	if _, err := w.at(Grace); err == nil {
		t.Error("the look did not fail")
	}
	w.is(false, "while the API server is away")
	w.unanswered = nil
	w.look(Grace + time.Second)
	w.is(false, "when it is back")
	w.look(2*Grace - time.Second)
	w.is(false, "until the host had time to renew")
	w.look(2 * Grace)
	w.is(true, "and did not")
}

func TestACacheThatIsBehindTaintsNobody(t *testing.T) {
	w := newWorld(t)
	w.look(0)
	w.stale = w.lease()
	w.clock.SetTime(start.Add(30 * time.Second))
	lease := w.lease()
	renewed := metav1.NewMicroTime(w.clock.Now())
	lease.Spec.RenewTime = &renewed
	if err := w.client.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	w.look(Grace)
	w.is(false, "renewed, and the cache has not heard of it")
	w.look(60 * time.Second)
	// Seen at 40s.
	w.look(80 * time.Second)
	w.is(true, "the cache is still behind, and nothing new has come")
}
