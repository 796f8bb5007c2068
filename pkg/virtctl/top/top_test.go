package top

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

func TestTable(t *testing.T) {
	outcomes := []operation.Outcome{
		measured("b", "small", 1, v1alpha1.Usage{CPUMillis: 5, Memory: 100 << 20}),
		measured("a", "large", 4, v1alpha1.Usage{
			CPUMillis: 4115, Memory: 3<<30 + 300<<20, GuestMemoryUsed: ptr.To(int64(1) << 30),
			BlockRead: 1536, BlockWritten: 12 << 20, NetReceived: 999, NetSent: 1023,
		}),
		{VM: &v1alpha1.VirtualMachine{}, Err: fmt.Errorf("failed")},
	}
	for by, want := range map[string]string{
		"": `
NAMESPACE   NAME    HOST     CPU     CPU%   MEMORY   GUEST-USED   READ/S   WRITTEN/S   RECEIVED/S   SENT/S
a           large   host-1   4115m   103%   3.3Gi    1.0Gi        1.5Ki    12Mi        999          1023
b           small   host-1   5m      1%     100Mi    -            0        0           0            0
`,
		"cpu": `
NAMESPACE   NAME    HOST     CPU     CPU%   MEMORY   GUEST-USED   READ/S   WRITTEN/S   RECEIVED/S   SENT/S
a           large   host-1   4115m   103%   3.3Gi    1.0Gi        1.5Ki    12Mi        999          1023
b           small   host-1   5m      1%     100Mi    -            0        0           0            0
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
