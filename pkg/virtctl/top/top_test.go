package top

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/operation"
)

func measured(ns, name string, cpus int32, u v1alpha1.Usage) operation.Outcome {
	vm := &v1alpha1.VirtualMachine{}
	vm.Namespace, vm.Name, vm.Spec.Resources.CPU = ns, name, cpus
	op := &v1alpha1.VirtualMachineOperation{}
	op.Status.NodeName, op.Status.Usage = "host-1", &u
	return operation.Outcome{VM: vm, Operation: op}
}

// unmeasured is the outcome for a VM on host-2 that was not measured.
func unmeasured(ns, name, reason, message string) operation.Outcome {
	vm := &v1alpha1.VirtualMachine{}
	vm.Namespace, vm.Name, vm.Status.Placement = ns, name, &v1alpha1.Placement{NodeName: "host-2"}
	op := &v1alpha1.VirtualMachineOperation{}
	op.Status = v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationFailed, Reason: reason, Message: message}
	return operation.Outcome{VM: vm, Operation: op, Err: fmt.Errorf("%s failed: %s", name, reason)}
}

func TestWhatWasNotMeasuredIsToldInALine(t *testing.T) {
	outcomes := []operation.Outcome{measured("ns", "well", 1, v1alpha1.Usage{}), unmeasured("ns", "late", v1alpha1.ReasonTimedOut, "slow")}
	for _, name := range []string{"e", "d", "c", "b", "a"} {
		outcomes = append(outcomes, unmeasured("ns", name, v1alpha1.ReasonOperationRefused, "no\nguest"))
	}
	gone := unmeasured("ns", "gone", "", "")
	gone.Operation = nil
	gone.VM.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionHostReachable, Status: metav1.ConditionFalse}}
	outcomes = append(outcomes, gone)
	errs, notes := judge(outcomes, false)
	want := []string{"Not measured: a, b, c and 2 more: no guest", "Not measured: gone: the host is away: see `virtctl describe`"}
	if diff := cmp.Diff(want, notes); diff != "" || len(errs) != 1 || errs[0].Error() != "late failed: TimedOut" {
		t.Errorf("%v\n%s", errs, diff)
	}
	if errs, notes := judge(outcomes, true); len(errs) != 7 || notes != nil {
		t.Errorf("named: %v, %q", errs, notes)
	}
}

func TestWhoseHostIsAwayIsNotAsked(t *testing.T) {
	there, away := v1alpha1.VirtualMachine{}, v1alpha1.VirtualMachine{}
	away.Name, away.Status.Placement = "gone", &v1alpha1.Placement{NodeName: "host-2"}
	away.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionHostReachable, Status: metav1.ConditionFalse, Reason: "HostUnreachable", Message: "silent"}}
	asked, others := reachable([]v1alpha1.VirtualMachine{there, away})
	if len(asked) != 1 || len(others) != 1 || others[0].Err.Error() != `virtualmachine "gone" cannot be measured: its host is away: HostUnreachable: silent` {
		t.Errorf("%v, %v", asked, others)
	}
}

func TestTable(t *testing.T) {
	outcomes := []operation.Outcome{
		measured("b", "small", 1, v1alpha1.Usage{CPUMillis: 5, Memory: 100 << 20}),
		measured("a", "large", 4, v1alpha1.Usage{
			CPUMillis: 4115, Memory: 3<<30 + 300<<20, GuestMemoryUsed: ptr.To(int64(1) << 30),
			BlockRead: 1536, BlockWritten: 12 << 20, NetReceived: 999, NetSent: 1023,
		}),
		unmeasured("b", "simulated", v1alpha1.ReasonOperationRefused, "no guest runs"),
	}
	for by, want := range map[string]string{
		"": `
NAMESPACE   NAME        HOST     CPU     CPU%   MEMORY   GUEST-USED   READ/S   WRITTEN/S   RECEIVED/S   SENT/S
a           large       host-1   4115m   103%   3.3Gi    1.0Gi        1.5Ki    12Mi        999          1023
b           simulated   host-2   -       -      -        -            -        -           -            -
b           small       host-1   5m      1%     100Mi    -            0        0           0            0
`,
		"cpu": `
NAMESPACE   NAME        HOST     CPU     CPU%   MEMORY   GUEST-USED   READ/S   WRITTEN/S   RECEIVED/S   SENT/S
a           large       host-1   4115m   103%   3.3Gi    1.0Gi        1.5Ki    12Mi        999          1023
b           small       host-1   5m      1%     100Mi    -            0        0           0            0
b           simulated   host-2   -       -      -        -            -        -           -            -
`,
	} {
		var out strings.Builder
		if err := print(&out, usages(outcomes, by), true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), out.String()); diff != "" {
			t.Errorf("by %q: %s", by, diff)
		}
	}
}

func TestSorting(t *testing.T) {
	outcomes := []operation.Outcome{
		measured("ns", "a", 1, v1alpha1.Usage{CPUMillis: 1, Memory: 2}),
		measured("ns", "b", 1, v1alpha1.Usage{CPUMillis: 3, Memory: 1}),
		measured("ns", "c", 1, v1alpha1.Usage{CPUMillis: 3, Memory: 3}),
	}
	for by, want := range map[string]string{"": "abc", "cpu": "bca", "memory": "cab"} {
		got := ""
		for _, u := range usages(outcomes, by) {
			got += u.vm.Name
		}
		if got != want {
			t.Errorf("by %q: %s, want %s", by, got, want)
		}
	}
}

func TestChooseThoseWithAGuest(t *testing.T) {
	var found []v1alpha1.VirtualMachine
	for i := range 102 {
		vm := v1alpha1.VirtualMachine{}
		vm.Name = fmt.Sprintf("vm-%03d", 101-i)
		vm.Status.Placement, vm.Status.Host = &v1alpha1.Placement{}, &v1alpha1.HostStatus{State: v1alpha1.HostRunning}
		if vm.Name == "vm-000" {
			vm.Status.Host.State = v1alpha1.HostStopped
		}
		found = append(found, vm)
	}
	vms, note := choose(found, false)
	if len(vms) != most || vms[0].Name != "vm-001" || !strings.Contains(note, "first 100 of 101") {
		t.Errorf("%d from %s, %q", len(vms), vms[0].Name, note)
	}
	if vms, note := choose(found, true); len(vms) != 102 || note != "" {
		t.Errorf("named: %d, %q", len(vms), note)
	}
	if vms, note := choose(found[101:], false); len(vms) != 0 || note != "No virtualmachine of 1 has a guest." {
		t.Errorf("%d, %q", len(vms), note)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		o     command
		names []string
	}{
		"an unknown order":            {o: command{sortBy: "disk"}},
		"names of several namespaces": {o: command{everywhere: true}, names: []string{"a"}},
		"no time":                     {},
	} {
		if _, err := test.o.read(test.names); failure.CodeOf(err) != failure.Misused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1.0Ki", 10 << 10: "10Ki", 5 << 40: "5.0Ti", 1<<63 - 1: "8.0Ei"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
