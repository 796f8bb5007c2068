package reachability

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

// world is the host a with VMs, and the clock.
type world struct {
	t          *testing.T
	client     client.WithWatch
	clock      *clocktesting.FakePassiveClock
	controller *Controller
	// unanswered is what reading from the API server itself comes to, and back has
	// it say that the host is there.
	unanswered error
	back       bool
	writes     int
}

// Write implements Writer and counts.
func (w *world) Write(ctx context.Context, observed *v1alpha1.VirtualMachine, guard vmstatus.Guard, mutate func(*v1alpha1.VirtualMachineStatus)) error {
	before := observed.ResourceVersion
	out, err := vmstatus.New(w.client).PatchGuarded(ctx, observed, guard, mutate)
	if err == nil && out.ResourceVersion != before {
		w.writes++
	}
	return err
}

func newWorld(t *testing.T) *world {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	renewed := metav1.NewMicroTime(start.Add(-40 * time.Second))
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.LeaseNamespace, Name: "a"}, Spec: coordinationv1.LeaseSpec{RenewTime: &renewed}}
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(start)}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VirtualMachine{}).
		WithIndex(&v1alpha1.VirtualMachine{}, byHost, hostOf).
		WithObjects(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, lease).Build()
	w.lead()
	return w
}

// lead has a new process lead.
func (w *world) lead() {
	live := interceptor.NewClient(w.client, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
		if w.unanswered != nil {
			return w.unanswered
		}
		err := c.Get(ctx, key, obj, opts...)
		if node, is := obj.(*corev1.Node); is && w.back {
			node.Spec.Taints = nil
		}
		return err
	}})
	w.controller = New(w.client, live, w, w.clock)
}

func (w *world) vm(name, host string, change ...func(*v1alpha1.VirtualMachine)) {
	w.t.Helper()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
	if host != "" {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: host}
		vm.Status.Host = &v1alpha1.HostStatus{State: v1alpha1.HostRunning}
		vm.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Running"}}
	}
	for _, f := range change {
		f(vm)
	}
	if err := w.client.Create(w.t.Context(), vm); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(name string) *v1alpha1.VirtualMachine {
	w.t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	if err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: "ns", Name: name}, vm); err != nil {
		w.t.Fatal(err)
	}
	return vm
}

// taint gives the Node a taint, set now; "" takes all away.
func (w *world) taint(key string) {
	w.t.Helper()
	node := &corev1.Node{}
	if err := w.client.Get(w.t.Context(), types.NamespacedName{Name: "a"}, node); err != nil {
		w.t.Fatal(err)
	}
	node.Spec.Taints = nil
	if key != "" {
		at := metav1.NewTime(w.clock.Now())
		node.Spec.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &at}}
	}
	if err := w.client.Update(w.t.Context(), node); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) at(after time.Duration) { w.clock.SetTime(start.Add(after)) }

// looks has the controller look at VMs.
func (w *world) looks(names ...string) time.Duration {
	w.t.Helper()
	var after time.Duration
	for _, name := range names {
		result, err := w.controller.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: name}})
		if err != nil {
			w.t.Fatal(err)
		}
		after = result.RequeueAfter
	}
	return after
}

// says fails the test unless what is shown of the VM begins with reason, and the
// number of writes is right.
func (w *world) says(name, reason string, writes int) {
	w.t.Helper()
	vm := w.get(name)
	if vm.Status.Reason != reason || (said(vm) != nil) != (reason != "") || w.writes != writes {
		w.t.Errorf("%s says %q (%v) after %d writes; want %q after %d", name, vm.Status.Reason, said(vm), w.writes, reason, writes)
	}
}

func TestALossAndAReturnAreOneWriteEach(t *testing.T) {
	w := newWorld(t)
	w.vm("vm", "a")
	w.looks("vm")
	w.says("vm", "", 0)
	w.taint(v1alpha1.ExecutorUnreachableTaint)
	if after := w.looks("vm"); after != settle {
		t.Errorf("looks again in %s", after)
	}
	w.says("vm", "", 0)
	w.at(settle)
	for range 3 {
		w.looks("vm")
	}
	w.says("vm", v1alpha1.ReasonHostUnreachable, 1)
	vm := w.get("vm")
	want := metav1.Condition{
		Type: v1alpha1.ConditionHostReachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonHostUnreachable,
		Message: "a has not been heard of since 2026-01-02T03:03:25Z: the guest may well run on, and what is asked of the VM is done when it is back; " +
			"see whether a is up, and its vm-executor runs and reaches the API server",
		LastTransitionTime: metav1.NewTime(start.Add(settle)),
	}
	if diff := cmp.Diff(&want, said(vm), cmp.Comparer(func(a, b metav1.Time) bool { return a.Equal(&b) })); diff != "" {
		t.Errorf("condition (-want +got):\n%s", diff)
	}
	if vm.Status.Message != want.Message {
		t.Errorf("message %q", vm.Status.Message)
	}
	// Another leader finds it said.
	w.lead()
	w.at(time.Hour)
	w.looks("vm")
	w.at(2 * time.Hour)
	w.looks("vm")
	w.says("vm", v1alpha1.ReasonHostUnreachable, 1)
	w.taint("")
	for range 3 {
		w.looks("vm")
	}
	w.says("vm", "", 2)
}

func TestAHostThatIsBackInTimeCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.vm("vm", "a")
	for i := range 20 {
		w.at(time.Duration(i) * time.Minute)
		w.taint(v1alpha1.LibvirtUnavailableTaint)
		w.looks("vm")
		w.at(time.Duration(i)*time.Minute + settle - time.Second)
		w.looks("vm")
		w.taint("")
		w.looks("vm")
	}
	w.says("vm", "", 0)
}

func TestWhatIsSaidOfWhichVM(t *testing.T) {
	w := newWorld(t)
	w.vm("runs", "a")
	w.vm("stopped", "a", func(vm *v1alpha1.VirtualMachine) { vm.Status.Host.State = v1alpha1.HostStopped })
	w.vm("elsewhere", "b")
	w.vm("unplaced", "")
	w.vm("deleted", "a", func(vm *v1alpha1.VirtualMachine) { vm.Finalizers = []string{v1alpha1.DomainFinalizer} })
	if err := w.client.Delete(t.Context(), w.get("deleted")); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "b"}}); err != nil {
		t.Fatal(err)
	}
	w.taint(v1alpha1.LibvirtUnavailableTaint)
	all := []string{"runs", "stopped", "elsewhere", "unplaced", "deleted", "never-was"}
	w.looks(all...)
	w.at(settle)
	w.looks(all...)
	if w.writes != 3 {
		t.Errorf("%d writes", w.writes)
	}
	for name, text := range map[string]string{
		"runs":    "a does not reach its libvirt since 2026-01-02T03:04:05Z: the guest may well run on, and what is asked",
		"stopped": "since 2026-01-02T03:04:05Z: what is asked of the VM is done when it is back; see whether libvirtd runs on a",
		"deleted": "the VM, which is being deleted, goes when it is back",
	} {
		if vm := w.get(name); vm.Status.Reason != v1alpha1.ReasonHostLibvirtUnavailable || !strings.Contains(vm.Status.Message, text) {
			t.Errorf("%s: %s %q; want %q", name, vm.Status.Reason, vm.Status.Message, text)
		}
	}
	w.says("elsewhere", "", 3)
	w.says("unplaced", "", 3)
	// Its executor dies too: that is worse.
	w.taint(v1alpha1.ExecutorUnreachableTaint)
	w.at(10 * settle)
	w.looks("runs")
	w.says("runs", v1alpha1.ReasonHostUnreachable, 4)
	// Its Node is deleted: what is said holds on.
	if err := w.client.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	w.at(20 * settle)
	w.looks("runs")
	w.says("runs", v1alpha1.ReasonHostUnreachable, 4)
}

func TestAVMThatLeftItsHostHasNone(t *testing.T) {
	w := newWorld(t)
	w.vm("vm", "a")
	w.taint(v1alpha1.ExecutorUnreachableTaint)
	w.looks("vm")
	w.at(settle)
	w.looks("vm")
	vm := w.get("vm")
	vm.Status.Placement, vm.Status.Epoch = nil, 1
	if err := w.client.Status().Update(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	w.looks("vm")
	w.says("vm", "", 2)
}

func TestAnAPIServerThatDoesNotAnswerMarksNobody(t *testing.T) {
	w := newWorld(t)
	w.vm("vm", "a")
	w.taint(v1alpha1.ExecutorUnreachableTaint)
	w.looks("vm")
	w.at(settle)
	w.unanswered = errors.New("connection refused")
	if _, err := w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "vm"}}); err == nil {
		t.Error("the look did not fail")
	}
	w.unanswered = nil
	if after := w.looks("vm"); after != settle {
		t.Errorf("when it is back it looks again in %s", after)
	}
	// The host is back, and the cache has not heard of it.
	w.at(2 * settle)
	w.back = true
	w.looks("vm")
	w.says("vm", "", 0)
}

func TestWritesAreRateLimited(t *testing.T) {
	w := newWorld(t)
	var names []string
	for i := range burst + 20 {
		names = append(names, fmt.Sprintf("vm-%d", i))
		w.vm(names[i], "a")
	}
	w.taint(v1alpha1.ExecutorUnreachableTaint)
	w.looks(names...)
	w.at(settle)
	began := time.Now()
	w.looks(names...)
	if took := time.Since(began); w.writes != len(names) || took < 15*time.Second/writesPerSecond {
		t.Errorf("%d writes in %s", w.writes, took)
	}
}

func TestWhatWakesIt(t *testing.T) {
	w := newWorld(t)
	w.vm("one", "a")
	w.vm("two", "a")
	w.vm("other", "b")
	if got := w.controller.ofNode(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}); len(got) != 2 {
		t.Errorf("a Node wakes %v", got)
	}
	tainted := func(key string) *corev1.Node {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		if key != "" {
			node.Spec.Taints = []corev1.Taint{{Key: key}}
		}
		return node
	}
	nodes := ofNodes()
	if nodes.Update(event.UpdateEvent{ObjectOld: tainted(""), ObjectNew: tainted(v1alpha1.HypervisorTaint)}) {
		t.Error("a Node that is no less reachable passes")
	}
	if !nodes.Update(event.UpdateEvent{ObjectOld: tainted(""), ObjectNew: tainted(v1alpha1.ExecutorUnreachableTaint)}) ||
		!nodes.Update(event.UpdateEvent{ObjectOld: tainted(v1alpha1.LibvirtUnavailableTaint), ObjectNew: tainted(v1alpha1.ExecutorUnreachableTaint)}) {
		t.Error("a Node that falls silent does not pass")
	}
	vms, before := ofVMs(), w.get("one")
	after := before.DeepCopy()
	after.Status.Guest = &v1alpha1.GuestStatus{Hostname: "x"}
	if vms.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("a report passes")
	}
	after.Status.Placement.NodeName = "b"
	if !vms.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("another host does not pass")
	}
}
