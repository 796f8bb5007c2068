package operation

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

func TestAnOperationIsOnItsVM(t *testing.T) {
	r, err := NewRequest(v1alpha1.VirtualMachineOperationSpec{Type: v1alpha1.OperationSendKey, SendKey: &v1alpha1.SendKey{Keys: []string{"KEY_A"}}}, 1500*time.Millisecond, Short)
	if err != nil {
		t.Fatal(err)
	}
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"}}
	want := &v1alpha1.VirtualMachineOperation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", GenerateName: "web-sendkey-", Labels: map[string]string{requestLabel: r.id}},
		Spec: v1alpha1.VirtualMachineOperationSpec{
			VirtualMachineName: "web", Type: v1alpha1.OperationSendKey, SendKey: &v1alpha1.SendKey{Keys: []string{"KEY_A"}},
			TimeoutSeconds: ptr.To[int32](2), TTLSecondsAfterFinished: ptr.To[int32](60),
		},
	}
	if diff := cmp.Diff(want, r.of(vm)); diff != "" {
		t.Error(diff)
	}
	other, err := NewRequest(r.spec, time.Minute, 0)
	if err != nil || other.id == r.id {
		t.Errorf("two requests are told apart by %q, %q, %v", r.id, other.id, err)
	}
}

func TestATimeoutThatTheAPIWouldNotHave(t *testing.T) {
	for _, timeout := range []time.Duration{0, -time.Second, 999 * time.Millisecond, 25 * time.Hour} {
		if _, err := NewRequest(v1alpha1.VirtualMachineOperationSpec{}, timeout, 0); failure.CodeOf(err) != failure.Misused {
			t.Errorf("%s: %v", timeout, err)
		}
	}
}

func TestResult(t *testing.T) {
	for reason, want := range map[string]struct {
		code failure.Code
		text string
	}{
		v1alpha1.ReasonVMNotFound:       {failure.Missing, "virtctl get"},
		v1alpha1.ReasonWrongState:       {failure.Denied, "virtctl describe web"},
		v1alpha1.ReasonOperationRefused: {failure.Denied, "said this"},
		v1alpha1.ReasonTimedOut:         {failure.Late, "--timeout"},
		v1alpha1.ReasonAgentUnavailable: {failure.Denied, "guest agent"},
		v1alpha1.ReasonHostUnreachable:  {failure.General, "kubectl get hypervisor host-1"},
		v1alpha1.ReasonInterrupted:      {failure.General, "whether it took effect"},
		v1alpha1.ReasonBindingEnded:     {failure.General, "try again"},
		"SomethingNew":                  {failure.General, "SomethingNew: said this"},
	} {
		op := &v1alpha1.VirtualMachineOperation{}
		op.Spec.VirtualMachineName, op.Spec.Type = "web", v1alpha1.OperationReset
		op.Status = v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationFailed, Reason: reason, Message: "said\nthis", NodeName: "host-1"}
		err := Result(op)
		if failure.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.text) || !strings.HasPrefix(err.Error(), `Reset of virtualmachine "web" failed: `+reason+": said this") {
			t.Errorf("%s: %v (code %d)", reason, err, failure.CodeOf(err))
		}
		op.Status.Phase = v1alpha1.OperationSucceeded
		if err := Result(op); err != nil {
			t.Errorf("a success: %v", err)
		}
	}
}

func TestWaitingSaysForWhom(t *testing.T) {
	op := &v1alpha1.VirtualMachineOperation{}
	op.Spec.Type = v1alpha1.OperationReset
	for _, step := range []struct {
		status v1alpha1.VirtualMachineOperationStatus
		want   string
	}{
		{v1alpha1.VirtualMachineOperationStatus{}, "Reset waits to be taken up by vm-scheduler"},
		{v1alpha1.VirtualMachineOperationStatus{Message: "after web-restart-1"}, "Reset waits to be taken up by vm-scheduler: after web-restart-1"},
		{v1alpha1.VirtualMachineOperationStatus{NodeName: "host-1"}, "Reset waits for host-1"},
		{v1alpha1.VirtualMachineOperationStatus{NodeName: "host-1", Phase: v1alpha1.OperationRunning, Message: "shutting down"}, "Reset is under way on host-1: shutting down"},
	} {
		op.Status = step.status
		if got := Waiting(op); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
		if err := unanswered(op); failure.CodeOf(err) != failure.Late || !strings.Contains(err.Error(), step.want) {
			t.Errorf("unanswered: %v", err)
		}
	}
}

func TestWhoHurriesWaitsForNoHostThatIsAway(t *testing.T) {
	away := &v1alpha1.VirtualMachineOperation{}
	away.UID, away.Spec.Type, away.Spec.VirtualMachineName = "1", v1alpha1.OperationMeasure, "web"
	away.Status = v1alpha1.VirtualMachineOperationStatus{Reason: v1alpha1.ReasonHostUnreachable, Message: "waiting for host-1"}
	for _, hurried := range []bool{false, true} {
		f := &following{outcomes: []Outcome{{Operation: away}}, left: map[types.UID]int{"1": 0}, progress: output.NewProgress(io.Discard), hurried: hurried}
		over, err := f.changed(away, false)
		if err != nil || over != hurried {
			t.Errorf("hurried %v: over %v, %v", hurried, over, err)
		}
		want := "Measure of virtualmachine \"web\" is not waited for: waiting for host-1: see `virtctl describe web`"
		if got := f.outcomes[0].Err; (got != nil) != hurried || hurried && got.Error() != want {
			t.Errorf("hurried %v: %v", hurried, got)
		}
	}
}

func TestCheckUser(t *testing.T) {
	for _, user := range []string{"root", "_apt", "a.b-c", "machine$", strings.Repeat("a", 32)} {
		if err := CheckUser(user); err != nil {
			t.Errorf("%q: %v", user, err)
		}
	}
	for _, user := range []string{"", "1a", "a b", "a;b", "-x", strings.Repeat("a", 33)} {
		if failure.CodeOf(CheckUser(user)) != failure.Misused {
			t.Errorf("%q is let through", user)
		}
	}
}
