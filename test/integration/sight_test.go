package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

// shown is what `kubectl get vm` prints of a namespace: of each VM the cells of
// columns, joined by a bar.
func shown(t *testing.T, ns string, columns ...string) map[string]string {
	t.Helper()
	data, err := suite.clientset.CoreV1().RESTClient().Get().AbsPath("/apis/domus.dev/v1alpha1/namespaces", ns, "virtualmachines").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	if err := json.Unmarshal(data, table); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, row := range table.Rows {
		var cells []string
		for _, want := range columns {
			for i, c := range table.ColumnDefinitions {
				if c.Name == want && row.Cells[i] != nil {
					cells = append(cells, fmt.Sprint(row.Cells[i]))
				} else if c.Name == want {
					cells = append(cells, "")
				}
			}
		}
		out[fmt.Sprint(row.Cells[0])] = strings.Join(cells, "|")
	}
	return out
}

// reports writes a VM's status as its executor would.
func reports(t *testing.T, ns, name string, change func(*v1alpha1.VirtualMachineStatus)) {
	t.Helper()
	vm := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: name}, vm)
	if _, err := vmstatus.New(suite.client).Patch(t.Context(), vm, change); err != nil {
		t.Fatal(err)
	}
}

// guestRuns is a guest that runs, with conditions besides.
func guestRuns(conditions ...metav1.Condition) func(*v1alpha1.VirtualMachineStatus) {
	return func(s *v1alpha1.VirtualMachineStatus) {
		s.Phase = v1alpha1.PhaseRunning
		s.Host = &v1alpha1.HostStatus{Epoch: s.Epoch, State: v1alpha1.HostRunning}
		conditions = append([]metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Running"}}, conditions...)
		for _, c := range conditions {
			c.LastTransitionTime = metav1.Now()
			meta.SetStatusCondition(&s.Conditions, c)
		}
	}
}

func TestWhatGetShows(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	host := hosts(t, ns, 1, mid)[0]
	for name, reported := range map[string]func(*v1alpha1.VirtualMachineStatus){
		"well":   guestRuns(),
		"edited": guestRuns(metav1.Condition{Type: v1alpha1.ConditionRestartRequired, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSpecChanged, Message: "spec.domain takes effect at the next start"}),
		"stuck": guestRuns(metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPauseFailed, Message: "no"},
			metav1.Condition{Type: v1alpha1.ConditionRestartRequired, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSpecChanged}),
		"agentless": guestRuns(metav1.Condition{Type: v1alpha1.ConditionAgentConnected, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonAgentSilent, Message: "none"}),
		"going":     guestRuns(),
	} {
		create(t, newVM(ns, name, 1, 1))
		waitVM(t, ns, name, boundTo(host))
		reports(t, ns, name, reported)
	}
	create(t, newVM(ns, "huge", 999, 1))
	waitVM(t, ns, "huge", waiting(v1alpha1.ReasonUnschedulable, ""))
	going := &v1alpha1.VirtualMachine{}
	get(t, types.NamespacedName{Namespace: ns, Name: "going"}, going)
	before := going.DeepCopy()
	going.Finalizers = []string{v1alpha1.DomainFinalizer}
	if err := suite.client.Patch(t.Context(), going, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	if err := suite.client.Delete(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"well": "Running||", "edited": "Running|RestartRequired|", "stuck": "Running|PauseFailed|", "agentless": "Running||", "huge": "Pending|Unschedulable|",
	}
	got := shown(t, ns, "Phase", "Reason", "Deleted")
	// How long ago that was, without a word of its host's.
	if !strings.HasPrefix(got["going"], "Running||") || !strings.HasSuffix(got["going"], "s") {
		t.Errorf("one that is being deleted: %q", got["going"])
	}
	delete(got, "going")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("phase, reason and deletion (-want +got):\n%s", diff)
	}
	if got := shown(t, ns, "Message")["edited"]; got != "spec.domain takes effect at the next start" {
		t.Errorf("message %q", got)
	}
}

// counted counts the writes of each VM of a namespace from now on.
func counted(t *testing.T, ns string) func() map[string]int {
	t.Helper()
	// What is there is sent first, and is no write.
	list := &v1alpha1.VirtualMachineList{}
	if err := suite.client.List(t.Context(), list, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	watch, err := suite.client.Watch(t.Context(), &v1alpha1.VirtualMachineList{}, client.InNamespace(ns), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Stop)
	var mu sync.Mutex
	writes := map[string]int{}
	go func() {
		for e := range watch.ResultChan() {
			if vm, ok := e.Object.(*v1alpha1.VirtualMachine); ok && e.Type == "MODIFIED" {
				mu.Lock()
				writes[vm.Name]++
				mu.Unlock()
			}
		}
	}()
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		out := map[string]int{}
		for name, n := range writes {
			out[name] = n
		}
		return out
	}
}

func says(reason string) func(*v1alpha1.VirtualMachine) string {
	return func(vm *v1alpha1.VirtualMachine) string {
		if vm.Status.Reason != reason {
			return fmt.Sprintf("says %q (%s)", vm.Status.Reason, vm.Status.Message)
		}
		return ""
	}
}

// TestAHostThatIsAwayIsSaidOnItsVMs also through a change of leader: what has been
// said is said once.
func TestAHostThatIsAwayIsSaidOnItsVMs(t *testing.T) {
	scheduler := startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	both := hosts(t, ns, 2, mid)
	lost, other := both[0], both[1]
	names := []string{"a", "b", "c"}
	for _, name := range append(names, "elsewhere") {
		at := lost
		if name == "elsewhere" {
			at = other
		}
		create(t, newVM(ns, name, 1, 1, func(vm *v1alpha1.VirtualMachine) { vm.Spec.NodeSelector[corev1.LabelHostname] = at }))
		waitVM(t, ns, name, boundTo(at))
		reports(t, ns, name, guestRuns())
	}
	writes := counted(t, ns)
	taint := func(taints ...corev1.Taint) {
		node := &corev1.Node{}
		get(t, types.NamespacedName{Name: lost}, node)
		before := node.DeepCopy()
		node.Spec.Taints = append([]corev1.Taint{{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule}}, taints...)
		if err := suite.client.Patch(t.Context(), node, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	now := metav1.Now()
	taint(corev1.Taint{Key: v1alpha1.ExecutorUnreachableTaint, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &now})
	for _, name := range names {
		vm := waitVM(t, ns, name, says(v1alpha1.ReasonHostUnreachable))
		for _, text := range []string{lost + " has not been heard of since ", "the guest may well run on", "see whether " + lost + " is up"} {
			if !strings.Contains(vm.Status.Message, text) {
				t.Errorf("message %q lacks %q", vm.Status.Message, text)
			}
		}
		if got := shown(t, ns, "Phase", "Reason")[name]; got != "Running|HostUnreachable" {
			t.Errorf("shown is %q", got)
		}
	}
	scheduler.kill()
	startScheduler(t, schedulerOptions{})
	// Longer than what has to be so for a while before it is said.
	time.Sleep(20 * time.Second)
	once := map[string]int{"a": 1, "b": 1, "c": 1}
	if diff := cmp.Diff(once, writes()); diff != "" {
		t.Errorf("writes when the host was lost, and the leader (-want +got):\n%s", diff)
	}
	taint()
	for _, name := range names {
		vm := waitVM(t, ns, name, says(""))
		if c := meta.FindStatusCondition(vm.Status.Conditions, v1alpha1.ConditionHostReachable); c != nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	time.Sleep(shortly)
	if diff := cmp.Diff(map[string]int{"a": 2, "b": 2, "c": 2}, writes()); diff != "" {
		t.Errorf("writes in all (-want +got):\n%s", diff)
	}
}

// TestALeaseThatIsOldSaysNothingToANewLeader: while nobody led, or the API server
// was away, no renewal could be seen.
func TestALeaseThatIsOldSaysNothingToANewLeader(t *testing.T) {
	ns := emptied(t)
	host := hosts(t, ns, 1, mid)[0]
	long := metav1.NewMicroTime(time.Now().Add(-time.Hour))
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.LeaseNamespace, Name: host}, Spec: coordinationv1.LeaseSpec{RenewTime: &long}}
	create(t, lease)
	startScheduler(t, schedulerOptions{})
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", boundTo(host))
	reports(t, ns, "vm", guestRuns())
	tainted := func() bool {
		node := &corev1.Node{}
		get(t, types.NamespacedName{Name: host}, node)
		for _, taint := range node.Spec.Taints {
			if taint.Key == v1alpha1.ExecutorUnreachableTaint {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Second) {
		if tainted() {
			t.Fatal("the host is held to be silent")
		}
	}
	// And with nothing new for as long as every host is given, it is.
	for deadline := time.Now().Add(2 * eventually); !tainted(); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("the host is not found out to be silent")
		}
	}
	waitVM(t, ns, "vm", says(v1alpha1.ReasonHostUnreachable))
	ctx, cancel := context.WithCancel(t.Context())
	var back sync.WaitGroup
	defer back.Wait()
	defer cancel()
	back.Go(func() {
		for ctx.Err() == nil {
			renewed := metav1.NewMicroTime(time.Now())
			before := lease.DeepCopy()
			lease.Spec.RenewTime = &renewed
			_ = suite.client.Patch(ctx, lease, client.MergeFrom(before))
			time.Sleep(time.Second)
		}
	})
	waitVM(t, ns, "vm", says(""))
}

// TestAForceStopWaitsForNobody: the tests speak for the host, which hangs.
func TestAForceStopWaitsForNobody(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	host := hosts(t, ns, 1, mid)[0]
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", boundTo(host))
	reports(t, ns, "vm", guestRuns())
	create(t, newOperation(ns, "a-hangs", v1alpha1.OperationScreenshot))
	waitOperation(t, ns, "a-hangs", assignedTo(host))
	create(t, newOperation(ns, "b-waits", v1alpha1.OperationRestart))
	time.Sleep(time.Second) // times are stored in whole seconds
	create(t, newOperation(ns, "plug", v1alpha1.OperationForceStop))
	waitOperation(t, ns, "a-hangs", over(v1alpha1.OperationFailed, v1alpha1.ReasonSuperseded, "operation plug (ForceStop) was asked for, which waits for no other: "+host+" may have begun it"))
	waitOperation(t, ns, "b-waits", over(v1alpha1.OperationFailed, v1alpha1.ReasonSuperseded, "it was not begun; ask again if it is still wanted"))
	waitOperation(t, ns, "plug", assignedTo(host))
	create(t, newOperation(ns, "z-later", v1alpha1.OperationReset))
	time.Sleep(shortly)
	waitOperation(t, ns, "z-later", func(op *v1alpha1.VirtualMachineOperation) string {
		if op.Status.NodeName != "" || op.Status.Finished() {
			return fmt.Sprintf("does not wait: %+v", op.Status)
		}
		return ""
	})
}

// TestWhatIsOverGoesWithItsVM: there is no garbage collector here.
func TestWhatIsOverGoesWithItsVM(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	host := hosts(t, ns, 1, mid)[0]
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", boundTo(host))
	reports(t, ns, "vm", func(s *v1alpha1.VirtualMachineStatus) {
		s.Host = &v1alpha1.HostStatus{Epoch: s.Epoch, State: v1alpha1.HostEnded}
	})
	create(t, newOperation(ns, "refused", v1alpha1.OperationReset))
	waitOperation(t, ns, "refused", over(v1alpha1.OperationFailed, v1alpha1.ReasonWrongState, ""))
	create(t, newOperation(ns, "off", v1alpha1.OperationForceStop))
	waitOperation(t, ns, "off", over(v1alpha1.OperationSucceeded, "", "the guest is off already"))
	create(t, newOperation(ns, "lost", v1alpha1.OperationReset, func(op *v1alpha1.VirtualMachineOperation) { op.Spec.VirtualMachineName = "mv" }))
	waitOperation(t, ns, "lost", over(v1alpha1.OperationFailed, v1alpha1.ReasonVMNotFound, ""))
	remove(&v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "vm"}})
	var left []string
	for deadline := time.Now().Add(eventually); ; time.Sleep(100 * time.Millisecond) {
		list := &v1alpha1.VirtualMachineOperationList{}
		if err := suite.client.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		left = nil
		for _, op := range list.Items {
			left = append(left, op.Name)
		}
		// One that never had a VM is there to be read.
		if cmp.Equal(left, []string{"lost"}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left are %v", left)
		}
	}
}
