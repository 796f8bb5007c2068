package integration

import (
	"bytes"
	"fmt"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/opstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// newOperation is an operation on the VM vm.
func newOperation(ns, name string, kind v1alpha1.OperationType, change ...func(*v1alpha1.VirtualMachineOperation)) *v1alpha1.VirtualMachineOperation {
	op := &v1alpha1.VirtualMachineOperation{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	op.Spec.VirtualMachineName, op.Spec.Type = "vm", kind
	switch kind {
	case v1alpha1.OperationSendKey:
		op.Spec.SendKey = &v1alpha1.SendKey{Keys: []string{"KEY_A"}}
	case v1alpha1.OperationSetPassword:
		op.Spec.SetPassword = &v1alpha1.SetPassword{User: "root", Hash: "$6$salt$secretsecretsecret"}
	case v1alpha1.OperationInjectSSHKey:
		op.Spec.InjectSSHKey = &v1alpha1.InjectSSHKey{User: "root", AuthorizedKeys: []string{"ssh-ed25519 AAAA"}}
	}
	for _, f := range change {
		f(op)
	}
	return op
}

func within(seconds int32) func(*v1alpha1.VirtualMachineOperation) {
	return func(op *v1alpha1.VirtualMachineOperation) { op.Spec.TimeoutSeconds = &seconds }
}

// waitOperation waits until is returns "" for the operation, and returns it.
func waitOperation(t *testing.T, ns, name string, is func(*v1alpha1.VirtualMachineOperation) string) *v1alpha1.VirtualMachineOperation {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		op := &v1alpha1.VirtualMachineOperation{}
		if err := suite.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: name}, op); err != nil {
			last = err.Error()
			continue
		}
		if last = is(op); last == "" {
			return op
		}
	}
	t.Fatalf("operation %s/%s: %s", ns, name, last)
	return nil
}

func over(phase v1alpha1.OperationPhase, reason, text string) func(*v1alpha1.VirtualMachineOperation) string {
	return func(op *v1alpha1.VirtualMachineOperation) string {
		s := op.Status
		if s.Phase != phase || s.Reason != reason || !strings.Contains(s.Message, text) {
			return fmt.Sprintf("is %s %s %q, want %s %s with %q", s.Phase, s.Reason, s.Message, phase, reason, text)
		}
		return ""
	}
}

func succeeded(op *v1alpha1.VirtualMachineOperation) string {
	return over(v1alpha1.OperationSucceeded, "", "")(op)
}

// assignedTo says that the host has been given the operation, and has not begun.
func assignedTo(host string) func(*v1alpha1.VirtualMachineOperation) string {
	return func(op *v1alpha1.VirtualMachineOperation) string {
		if op.Status.NodeName != host || op.Status.Phase != v1alpha1.OperationPending {
			return fmt.Sprintf("is not given to %s: %+v", host, op.Status)
		}
		return ""
	}
}

func TestOperationsOnASimulatedHost(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	h := startHost(t, ns)
	create(t, newVM(ns, "vm", 1, 1))
	vm := waitVM(t, ns, "vm", running)

	ask := func(kind v1alpha1.OperationType, want func(*v1alpha1.VirtualMachineOperation) string) *v1alpha1.VirtualMachineOperation {
		name := strings.ToLower(string(kind))
		create(t, newOperation(ns, name, kind))
		return waitOperation(t, ns, name, want)
	}
	ask(v1alpha1.OperationReset, succeeded)
	ask(v1alpha1.OperationSendKey, succeeded)
	shot := ask(v1alpha1.OperationScreenshot, succeeded).Status.Screenshot
	if config, err := png.DecodeConfig(bytes.NewReader(shot.PNG)); err != nil || config.Width != int(shot.Width) || config.Height != int(shot.Height) {
		t.Errorf("a picture of %d by %d: %+v %v", shot.Width, shot.Height, config, err)
	}
	// What no guest does is not pretended.
	ask(v1alpha1.OperationMeasure, over(v1alpha1.OperationFailed, v1alpha1.ReasonOperationRefused, "no guest runs that could be measured"))
	ask(v1alpha1.OperationSetPassword, over(v1alpha1.OperationFailed, v1alpha1.ReasonAgentUnavailable, "org.qemu.guest_agent.0"))
	ask(v1alpha1.OperationInjectSSHKey, over(v1alpha1.OperationFailed, v1alpha1.ReasonAgentUnavailable, "org.qemu.guest_agent.0"))

	time.Sleep(time.Second) // times are stored in whole seconds
	restart := ask(v1alpha1.OperationRestart, succeeded)
	want := []metav1.OwnerReference{{APIVersion: "domus.dev/v1alpha1", Kind: "VirtualMachine", Name: "vm", UID: vm.UID}}
	if diff := cmp.Diff(want, restart.OwnerReferences); diff != "" {
		t.Errorf("owner: %s", diff)
	}
	if s := restart.Status; s.NodeName != h.name || s.StartedAt == nil || s.FinishedAt == nil {
		t.Errorf("status: %+v", s)
	}
	after := waitVM(t, ns, "vm", running)
	if !vm.Status.Host.StartedAt.Before(after.Status.Host.StartedAt) || after.Status.Epoch != vm.Status.Epoch {
		t.Errorf("started at %s before the restart and at %s after it", vm.Status.Host.StartedAt, after.Status.Host.StartedAt)
	}
	if note := eventOn(t, ns, "vm", "Restarted"); !strings.Contains(note, "operation restart") {
		t.Errorf("event: %s", note)
	}
	if note := eventOn(t, ns, "vm", "OperationFailed"); strings.Contains(note, "secret") {
		t.Errorf("event: %s", note)
	}
	if bytes.Contains(h.process.read(), []byte("secretsecret")) {
		t.Error("a password's hash is in the executor's log")
	}
	// It is switched off, and started again since powerState is Running.
	ask(v1alpha1.OperationForceStop, succeeded)
	waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if said := running(vm); said != "" {
			return said
		}
		if !after.Status.Host.StartedAt.Before(vm.Status.Host.StartedAt) {
			return "was not started again"
		}
		return ""
	})
}

// TestARestartWithAnotherSize: the VM gives its place up and is placed anew, and
// the restart is done when it runs again.
func TestARestartWithAnotherSize(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	startHost(t, ns)
	create(t, newVM(ns, "vm", 1, 1))
	before := waitVM(t, ns, "vm", running)
	set(t, ns, "vm", func(spec *v1alpha1.VirtualMachineSpec) { spec.Resources.CPU = 2 })
	create(t, newOperation(ns, "op", v1alpha1.OperationRestart))
	waitOperation(t, ns, "op", over(v1alpha1.OperationSucceeded, "", "placed anew"))
	after := waitVM(t, ns, "vm", running)
	if p := after.Status.Placement; p.Granted.CPU != 2 || after.Status.Epoch != before.Status.Epoch+1 {
		t.Errorf("epoch %d, then %d with %+v", before.Status.Epoch, after.Status.Epoch, p)
	}
}

func TestOperationsAskedAtOnceAreDoneInTurn(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	startHost(t, ns)
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", running)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		create(t, newOperation(ns, name, v1alpha1.OperationRestart))
	}
	var before *metav1.Time
	for _, name := range names {
		s := waitOperation(t, ns, name, succeeded).Status
		if before != nil && s.StartedAt.Before(before) {
			t.Errorf("%s began at %s, and the one before it ended at %s", name, s.StartedAt, before)
		}
		before = s.FinishedAt
	}
	waitVM(t, ns, "vm", running)
}

func TestOperationsThatCannotBeDone(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	startHost(t, ns)
	create(t, newOperation(ns, "early", v1alpha1.OperationReset))
	waitOperation(t, ns, "early", over(v1alpha1.OperationFailed, v1alpha1.ReasonVMNotFound, "there is no VirtualMachine vm in namespace "+ns))

	create(t, newVM(ns, "vm", 99, 1))
	create(t, newOperation(ns, "unplaced", v1alpha1.OperationReset))
	waitOperation(t, ns, "unplaced", over(v1alpha1.OperationFailed, v1alpha1.ReasonWrongState, "has no host: wait until it has one"))
	remove(&v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "vm"}})
	waitGone(t, ns, "vm")

	create(t, newVM(ns, "vm", 1, 1))
	vm := waitVM(t, ns, "vm", running)
	before := vm.DeepCopy()
	vm.Spec.PowerState = v1alpha1.PowerStopped
	if err := suite.client.Patch(t.Context(), vm, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	waitVM(t, ns, "vm", func(vm *v1alpha1.VirtualMachine) string {
		if h := vm.Status.Host; h == nil || h.State != v1alpha1.HostStopped {
			return fmt.Sprintf("is not stopped: %+v", h)
		}
		return ""
	})
	for kind, text := range map[v1alpha1.OperationType]string{
		v1alpha1.OperationReset:      "Reset needs a guest that is Running or Paused",
		v1alpha1.OperationScreenshot: "set spec.powerState to Running to start it",
		v1alpha1.OperationRestart:    "spec.powerState of VirtualMachine vm is Stopped: set it to Running instead",
	} {
		name := "off-" + strings.ToLower(string(kind))
		create(t, newOperation(ns, name, kind))
		op := waitOperation(t, ns, name, over(v1alpha1.OperationFailed, v1alpha1.ReasonWrongState, text))
		if op.Status.NodeName != "" || op.Status.FinishedAt == nil {
			t.Errorf("%s: %+v", name, op.Status)
		}
	}
}

func TestAnOperationIsRemovedWhenItsTimeIsOver(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	create(t, newOperation(ns, "short", v1alpha1.OperationReset, func(op *v1alpha1.VirtualMachineOperation) { op.Spec.TTLSecondsAfterFinished = ptr.To[int32](1) }))
	create(t, newOperation(ns, "long", v1alpha1.OperationReset))
	waitOperation(t, ns, "long", over(v1alpha1.OperationFailed, v1alpha1.ReasonVMNotFound, ""))
	for deadline := time.Now().Add(eventually); ; time.Sleep(100 * time.Millisecond) {
		err := suite.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "short"}, &v1alpha1.VirtualMachineOperation{})
		if apierrors.IsNotFound(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is still there: %v", err)
		}
	}
	waitOperation(t, ns, "long", over(v1alpha1.OperationFailed, v1alpha1.ReasonVMNotFound, ""))
}

// TestAHostThatIsDead: the tests speak for its executor, and are silent.
func TestAHostThatIsDead(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	host := hosts(t, ns, 1, mid)[0]
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", boundTo(host))
	hostSays(t, ns, "vm", v1alpha1.HostRunning, "", "")

	// One that was given to the host before it died.
	create(t, newOperation(ns, "a-given", v1alpha1.OperationReset, within(8)))
	waitOperation(t, ns, "a-given", assignedTo(host))
	create(t, newOperation(ns, "behind", v1alpha1.OperationReset, within(2)))
	waitOperation(t, ns, "behind", over(v1alpha1.OperationFailed, v1alpha1.ReasonTimedOut, "2s passed while waiting for operation a-given (Reset) to end"))
	taint := func(taints ...corev1.Taint) {
		node := &corev1.Node{}
		get(t, types.NamespacedName{Name: host}, node)
		before := node.DeepCopy()
		node.Spec.Taints = append([]corev1.Taint{{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule}}, taints...)
		if err := suite.client.Patch(t.Context(), node, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	taint(corev1.Taint{Key: v1alpha1.ExecutorUnreachableTaint, Effect: corev1.TaintEffectNoSchedule})
	waitOperation(t, ns, "a-given", over(v1alpha1.OperationPending, v1alpha1.ReasonHostUnreachable, "waiting for the host: "+host+" cannot be reached, its vm-executor has not been heard of"))
	waitOperation(t, ns, "a-given", over(v1alpha1.OperationFailed, v1alpha1.ReasonTimedOut, "8s passed while waiting for "+host+" to say how it went: "+host+" cannot be reached"))

	create(t, newOperation(ns, "waits", v1alpha1.OperationReset, within(2)))
	waitOperation(t, ns, "waits", over(v1alpha1.OperationFailed, v1alpha1.ReasonTimedOut, "2s passed while waiting for the host: "+host+" cannot be reached"))
	create(t, newOperation(ns, "later", v1alpha1.OperationReset))
	waitOperation(t, ns, "later", over(v1alpha1.OperationPending, v1alpha1.ReasonHostUnreachable, "domus.dev/executor-unreachable"))
	taint()
	waitOperation(t, ns, "later", assignedTo(host))
}

func TestABindingThatEndsEndsItsOperation(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	host := hosts(t, ns, 1, mid)[0]
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", boundTo(host))
	hostSays(t, ns, "vm", v1alpha1.HostRunning, "", "")
	create(t, newOperation(ns, "op", v1alpha1.OperationReset))
	waitOperation(t, ns, "op", assignedTo(host))
	hostSays(t, ns, "vm", v1alpha1.HostRejected, v1alpha1.ReasonHostUnfit, "no")
	waitOperation(t, ns, "op", over(v1alpha1.OperationFailed, v1alpha1.ReasonBindingEnded, "the VirtualMachine left "+host))
}

func TestAHostThatDoesNotAnswerInTime(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	host := hosts(t, ns, 1, mid)[0]
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", boundTo(host))
	hostSays(t, ns, "vm", v1alpha1.HostRunning, "", "")
	create(t, newOperation(ns, "op", v1alpha1.OperationReset, within(1)))
	waitOperation(t, ns, "op", assignedTo(host))
	waitOperation(t, ns, "op", over(v1alpha1.OperationFailed, v1alpha1.ReasonTimedOut, "1s passed while waiting for "+host+" to say how it went: see the log of its vm-executor"))
}

// TestAnExecutorThatDiesInTheMiddle: what it left is gone on with where that does
// no harm.
func TestAnExecutorThatDiesInTheMiddle(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := emptied(t)
	h := startHost(t, ns)
	create(t, newVM(ns, "vm", 1, 1))
	waitVM(t, ns, "vm", running)
	for kind, want := range map[v1alpha1.OperationType]func(*v1alpha1.VirtualMachineOperation) string{
		v1alpha1.OperationRestart: succeeded,
		// Its guest is gone with the executor, which is what was asked for.
		v1alpha1.OperationForceStop: succeeded,
		v1alpha1.OperationReset:     over(v1alpha1.OperationFailed, v1alpha1.ReasonInterrupted, "whether it took effect is not known"),
		v1alpha1.OperationSendKey:   over(v1alpha1.OperationFailed, v1alpha1.ReasonInterrupted, "whether it took effect is not known"),
	} {
		t.Run(string(kind), func(t *testing.T) {
			h.process.kill()
			name := strings.ToLower(string(kind))
			create(t, newOperation(ns, name, kind))
			op := waitOperation(t, ns, name, assignedTo(h.name))
			// As far as it had come.
			next := op.Status
			next.Phase, next.StartedAt = v1alpha1.OperationRunning, ptr.To(metav1.Now())
			if _, err := opstatus.Write(t.Context(), suite.client, op, next); err != nil {
				t.Fatal(err)
			}
			h.start()
			waitOperation(t, ns, name, want)
			waitVM(t, ns, "vm", running)
		})
	}
}

func TestAnExecutorWritesItsOwnOperationsOnly(t *testing.T) {
	ns := namespace(t, nil)
	cfg, err := suite.plane.as("domus:executor:"+ns+"-a", "domus:executors")
	if err != nil {
		t.Fatal(err)
	}
	executor, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
	if err != nil {
		t.Fatal(err)
	}
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v; want Forbidden", what, err)
		}
	}
	given := func(name, host string) *v1alpha1.VirtualMachineOperation {
		op := newOperation(ns, name, v1alpha1.OperationReset)
		create(t, op)
		if host == "" {
			return op
		}
		next := op.Status
		next.NodeName, next.VirtualMachineUID, next.Epoch = host, "uid", 1
		stored, err := opstatus.Write(t.Context(), suite.client, op, next)
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	write := func(op *v1alpha1.VirtualMachineOperation, change func(*v1alpha1.VirtualMachineOperationStatus)) (*v1alpha1.VirtualMachineOperation, error) {
		next := op.Status
		change(&next)
		return opstatus.Write(t.Context(), executor, op, next)
	}
	run := func(s *v1alpha1.VirtualMachineOperationStatus) { s.Phase = v1alpha1.OperationRunning }
	end := func(s *v1alpha1.VirtualMachineOperationStatus) { s.Phase = v1alpha1.OperationFailed }

	mine, other, nobodys := given("mine", ns+"-a"), given("other", ns+"-b"), given("nobodys", "")
	_, err = write(other, run)
	forbidden("another host's operation", err)
	_, err = write(nobodys, run)
	forbidden("an operation that no host has", err)
	_, err = write(nobodys, func(s *v1alpha1.VirtualMachineOperationStatus) { s.NodeName = ns + "-a" })
	forbidden("taking an operation", err)
	_, err = write(mine, func(s *v1alpha1.VirtualMachineOperationStatus) { s.NodeName = ns + "-b" })
	forbidden("giving an operation away", err)
	_, err = write(mine, func(s *v1alpha1.VirtualMachineOperationStatus) { s.Epoch++ })
	forbidden("another epoch", err)
	_, err = write(mine, func(s *v1alpha1.VirtualMachineOperationStatus) { s.VirtualMachineUID = "else" })
	forbidden("another VM", err)
	forbidden("creating one", executor.Create(t.Context(), newOperation(ns, "own", v1alpha1.OperationReset)))
	forbidden("deleting its own", executor.Delete(t.Context(), mine))
	labelled := mine.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	forbidden("labels", executor.Patch(t.Context(), labelled, client.MergeFrom(mine)))

	if mine, err = write(mine, run); err != nil {
		t.Fatalf("its own: %v", err)
	}
	if mine, err = write(mine, end); err != nil {
		t.Fatalf("its own: %v", err)
	}
	_, err = write(mine, run)
	forbidden("one that is over", err)
}

// addedTo are the roles of ours that are added to one of Kubernetes' own. There is
// nobody here who adds them.
func addedTo(t *testing.T, role string) []string {
	t.Helper()
	list := &rbacv1.ClusterRoleList{}
	if err := suite.client.List(t.Context(), list, client.MatchingLabels{"rbac.authorization.k8s.io/aggregate-to-" + role: "true"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range list.Items {
		if strings.HasPrefix(r.Name, "domus:") {
			names = append(names, r.Name)
		}
	}
	return names
}

// TestWhoSeesHashes asks the API server who may read where hashes of passwords,
// and pictures of screens, lie.
func TestWhoSeesHashes(t *testing.T) {
	ns := namespace(t, nil)
	for user, role := range map[string]string{"hash-editor": "edit", "hash-viewer": "view"} {
		for _, name := range addedTo(t, role) {
			create(t, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: user + "-" + strings.ReplaceAll(name, ":", "-")},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
			})
		}
	}
	for _, c := range []struct {
		user, member, group, resource string
		want                          bool
	}{
		{"hash-editor", "", "domus.dev", "virtualmachineoperations", true},
		{"hash-viewer", "", "domus.dev", "virtualmachineoperations", false},
		// No host, nor vm-scheduler, can read what is kept for others.
		{"domus:executor:a", "domus:executors", "", "secrets", false},
		{"domus:scheduler", "domus:schedulers", "", "secrets", false},
		{"domus:executor:a", "domus:executors", "domus.dev", "virtualmachineoperations", true},
	} {
		for _, verb := range []string{"get", "list", "watch"} {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: c.user, Groups: []string{c.member, "system:authenticated"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Group: c.group, Resource: c.resource},
			}}
			if err := suite.client.Create(t.Context(), review); err != nil {
				t.Fatal(err)
			}
			if review.Status.Allowed != c.want {
				t.Errorf("%s may %s %s: %t, want %t", c.user, verb, c.resource, review.Status.Allowed, c.want)
			}
		}
	}
}

// TestWhoMayEditVMs asks the API server what the roles view and edit let people do
// to VMs.
func TestWhoMayEditVMs(t *testing.T) {
	ns := namespace(t, nil)
	for user, role := range map[string]string{"vm-editor": "edit", "vm-viewer": "view"} {
		for _, name := range addedTo(t, role) {
			create(t, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: user + "-" + strings.ReplaceAll(name, ":", "-")},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
			})
		}
	}
	for verb, viewers := range map[string]bool{"get": true, "list": true, "watch": true, "create": false, "update": false, "patch": false, "delete": false} {
		for user, want := range map[string]bool{"vm-editor": true, "vm-viewer": viewers, "vm-nobody": false} {
			for subresource, want := range map[string]bool{"": want, "status": false} {
				review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User: user, Groups: []string{"system:authenticated"},
					ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Group: "domus.dev", Resource: "virtualmachines", Subresource: subresource},
				}}
				if err := suite.client.Create(t.Context(), review); err != nil {
					t.Fatal(err)
				}
				if review.Status.Allowed != want {
					t.Errorf("%s may %s virtualmachines %q: %t, want %t", user, verb, subresource, review.Status.Allowed, want)
				}
			}
		}
	}
}

// TestWhoMayAsk holds the roles that are added to Kubernetes' own.
func TestWhoMayAsk(t *testing.T) {
	ns := namespace(t, nil)
	as := func(user string, roles ...string) client.Client {
		for _, role := range roles {
			create(t, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: user + "-" + strings.ReplaceAll(role, ":", "-")},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
			})
		}
		cfg, err := suite.plane.as(user)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	editor, viewer, nobody := as("editor", addedTo(t, "edit")...), as("viewer", addedTo(t, "view")...), as("nobody")
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v; want Forbidden", what, err)
		}
	}
	op := newOperation(ns, "op", v1alpha1.OperationReset)
	forbidden("a viewer that asks", viewer.Create(t.Context(), op.DeepCopy()))
	forbidden("nobody that asks", nobody.Create(t.Context(), op.DeepCopy()))
	op.Status = v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationSucceeded, NodeName: "made-up"}
	if err := editor.Create(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	if op.Status.NodeName != "" || op.Status.Phase != v1alpha1.OperationPending {
		t.Errorf("a user's status was taken over: %+v", op.Status)
	}
	_, err := opstatus.Write(t.Context(), editor, op, v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationSucceeded})
	forbidden("an editor that writes the status", err)
	if err := editor.Get(t.Context(), client.ObjectKeyFromObject(op), op); err != nil {
		t.Error(err)
	}
	forbidden("a viewer that reads", viewer.Get(t.Context(), client.ObjectKeyFromObject(op), op))
	forbidden("a viewer that lists", viewer.List(t.Context(), &v1alpha1.VirtualMachineOperationList{}, client.InNamespace(ns)))
	forbidden("nobody that reads", nobody.Get(t.Context(), client.ObjectKeyFromObject(op), op))
	if err := editor.Delete(t.Context(), op); err != nil {
		t.Error(err)
	}
}

func TestBadOperationsAreRefused(t *testing.T) {
	ns := namespace(t, nil)
	for text, op := range map[string]*v1alpha1.VirtualMachineOperation{
		"spec.sendKey: Invalid value": newOperation(ns, "bad", v1alpha1.OperationSendKey, func(op *v1alpha1.VirtualMachineOperation) { op.Spec.SendKey = nil }),
		"is for type SetPassword, which needs it": newOperation(ns, "bad", v1alpha1.OperationReset, func(op *v1alpha1.VirtualMachineOperation) {
			op.Spec.SetPassword = &v1alpha1.SetPassword{User: "root", Hash: "$6$a$b"}
		}),
		"spec.setPassword.hash":       newOperation(ns, "bad", v1alpha1.OperationSetPassword, func(op *v1alpha1.VirtualMachineOperation) { op.Spec.SetPassword.Hash = "in the clear" }),
		"spec.setPassword.user":       newOperation(ns, "bad", v1alpha1.OperationSetPassword, func(op *v1alpha1.VirtualMachineOperation) { op.Spec.SetPassword.User = "root; reboot" }),
		"spec.restore: Invalid value": newOperation(ns, "bad", v1alpha1.OperationRestore),
		"is for type Restore, which needs it": newOperation(ns, "bad", v1alpha1.OperationReset, func(op *v1alpha1.VirtualMachineOperation) {
			op.Spec.Restore = &v1alpha1.Restore{SnapshotName: "s"}
		}),
		"spec.type":           newOperation(ns, "bad", "Juggle"),
		"spec.timeoutSeconds": newOperation(ns, "bad", v1alpha1.OperationReset, within(0)),
	} {
		err := suite.client.Create(t.Context(), op)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want a refusal with %q", err, text)
		}
	}
	op := newOperation(ns, "op", v1alpha1.OperationReset)
	create(t, op)
	op.Spec.Type = v1alpha1.OperationForceStop
	if err := suite.client.Update(t.Context(), op); err == nil || !strings.Contains(err.Error(), "cannot be changed: create another operation") {
		t.Errorf("another type: %v", err)
	}
}
