package describe

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

var update = flag.Bool("update", false, "write testdata/*.txt anew")

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func running() *about {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web-1", CreationTimestamp: ago(26 * time.Hour)}}
	vm.Spec = v1alpha1.VirtualMachineSpec{SchedulerName: "vm-scheduler", PowerState: v1alpha1.PowerRunning, RunPolicy: v1alpha1.RunAlways, WhenStopped: v1alpha1.SlotHold}
	started := ago(time.Hour)
	vm.Status = v1alpha1.VirtualMachineStatus{
		Phase: v1alpha1.PhaseRunning, Epoch: 3,
		Placement: &v1alpha1.Placement{
			NodeName: "host-1",
			Granted:  v1alpha1.GrantedResources{CPU: 4, Memory: 8 << 30, Overhead: 300 << 20, PageSize: v1alpha1.PageSize1Gi},
			Cells:    []v1alpha1.PlacedCell{{ID: 0, CPU: 4, Memory: 8 << 30, CPUs: "2-5", Idle: "34-37"}},
			Devices:  []v1alpha1.PlacedDevice{{Name: "gpu", Address: "0000:3b:00.0"}},
		},
		Host: &v1alpha1.HostStatus{Epoch: 3, State: v1alpha1.HostRunning, DomainName: "demo:web-1", DomainUUID: "3a0c8bd9-5b2d-4f5c-9a3e-1d2c3b4a5f60", StartedAt: &started},
		Guest: &v1alpha1.GuestStatus{
			Hostname: "web\x1b[2J", OS: &v1alpha1.GuestOS{Name: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0"},
			Interfaces: []v1alpha1.GuestInterface{{Name: "eth0", MAC: "52:54:00:00:00:01", Addresses: []string{"10.0.0.7", "fe80::1"}}},
		},
		Conditions: []metav1.Condition{
			{Type: "Scheduled", Status: "True", Reason: "Scheduled", Message: "bound to host-1", LastTransitionTime: ago(2 * time.Hour)},
			{Type: "Ready", Status: "True", Reason: "Running", LastTransitionTime: ago(time.Hour)},
			{Type: "AgentConnected", Status: "True", Reason: "AgentAnswers", LastTransitionTime: ago(59 * time.Minute)},
			{Type: "RestartRequired", Status: "True", Reason: "SpecChanged", Message: "spec.domain.devices", LastTransitionTime: ago(time.Minute)},
		},
	}
	op := func(name string, age time.Duration, status v1alpha1.VirtualMachineOperationStatus) v1alpha1.VirtualMachineOperation {
		op := v1alpha1.VirtualMachineOperation{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: ago(age)}, Status: status}
		op.Spec.Type = v1alpha1.OperationReset
		return op
	}
	a := &about{vm: vm, operations: []v1alpha1.VirtualMachineOperation{
		op("web-1-reset-c", 10*time.Second, v1alpha1.VirtualMachineOperationStatus{}),
		op("web-1-reset-b", 20*time.Second, v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationRunning, NodeName: "host-1"}),
		op("web-1-reset-a", time.Hour, v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationSucceeded}),
	}}
	for i := range 12 {
		a.events = append(a.events, corev1.Event{Type: "Normal", Reason: "Started", Message: "guest started\n", ReportingController: "vm-executor", EventTime: metav1.NewMicroTime(now.Add(-time.Duration(i) * time.Minute))})
	}
	return a
}

func pending() *about {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "huge", CreationTimestamp: ago(90 * time.Second)}}
	vm.Spec = v1alpha1.VirtualMachineSpec{
		SchedulerName: "vm-scheduler", PowerState: v1alpha1.PowerRunning, RunPolicy: v1alpha1.RunOnce, WhenStopped: v1alpha1.SlotRelease,
		Resources:       v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("1Ti"), Hugepages: &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize2Mi}},
		SchedulingGroup: &v1alpha1.SchedulingGroup{PodGroupName: "pair"},
	}
	vm.Status = v1alpha1.VirtualMachineStatus{
		Phase: v1alpha1.PhasePending, Epoch: 1, NominatedNodeName: "",
		Host:          &v1alpha1.HostStatus{Epoch: 0, State: v1alpha1.HostRejected, Reason: "HostUnfit", Message: "no such pool"},
		ExcludedHosts: []v1alpha1.HostExclusion{{NodeName: "host-2", Message: "no such pool", Until: metav1.NewTime(now.Add(4 * time.Minute))}},
		Conditions:    []metav1.Condition{{Type: "Scheduled", Status: "False", Reason: "Unschedulable", Message: "need 1Ti of memory", LastTransitionTime: ago(time.Minute)}},
	}
	return &about{vm: vm, operationsErr: errors.New("listing operations: not allowed"), eventsErr: errors.New("listing events: not allowed")}
}

// lost is a VM on a host that is away, and whose operations the reader may not see.
func lost() *about {
	a := running()
	a.vm.Status.Conditions = []metav1.Condition{
		{Type: "Ready", Status: "True", Reason: "Running", LastTransitionTime: ago(time.Hour)},
		{Type: "AgentConnected", Status: "Unknown", Reason: "AgentSilent", LastTransitionTime: ago(time.Hour)},
		{Type: "HostReachable", Status: "False", Reason: "HostUnreachable", Message: "host-1 has not been heard of since 2026-01-02T03:00:00Z: see whether host-1 is up", LastTransitionTime: ago(3 * time.Minute)},
	}
	a.vm.Status.Guest, a.vm.Status.Placement.Cells, a.vm.Status.Placement.Devices = nil, nil, nil
	a.operations, a.operationsErr, a.events = nil, failure.Refused("listing operations: forbidden"), nil
	return a
}

func TestAgentsAreToldInWords(t *testing.T) {
	for name, test := range map[string]struct {
		status metav1.ConditionStatus
		state  v1alpha1.HostState
		want   string
	}{
		"it answers":         {"True", v1alpha1.HostRunning, "answers, since 60m"},
		"it answers no more": {"False", v1alpha1.HostRunning, "answers no more, since 60m: what is told of the guest here is from before, and passwords and SSH keys cannot be set: restart it"},
		"none was heard":     {"Unknown", v1alpha1.HostRunning, "none is installed, or none answers, since 60m: without one the guest's addresses and system are not known, and passwords and SSH keys cannot be set: install and start qemu-guest-agent in the guest"},
		"it has no channel":  {"", v1alpha1.HostRunning, "none can be heard: the domain has no channel for one; without one the guest's addresses and system are not known, and passwords and SSH keys cannot be set: give spec.domain devices.channels one with target.virtIO.name org.qemu.guest_agent.0, restart the VM, and install and start qemu-guest-agent in the guest"},
		"there is no guest":  {"", v1alpha1.HostStopped, ""},
	} {
		vm := running().vm
		vm.Status.Host.State = test.state
		vm.Status.Conditions = nil
		if test.status != "" {
			vm.Status.Conditions = []metav1.Condition{{Type: "AgentConnected", Status: test.status, Message: "restart it", LastTransitionTime: ago(time.Hour)}}
		}
		if got := (&printer{now: now}).agent(vm); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// growing is a VM that waits for its host to have more for it.
func growing() *about {
	a := running()
	g := &a.vm.Status.Placement.Granted
	g.PageSize, g.MaxCPU, g.MaxMemory = "", 8, 16<<30
	a.vm.Status.Placement.Cells, a.vm.Status.Placement.Devices = nil, nil
	a.vm.Status.Host.CPU, a.vm.Status.Host.Memory = 2, 6<<30
	a.vm.Status.Conditions = append(a.vm.Status.Conditions[:3:3], metav1.Condition{
		Type: "ResizePending", Status: "True", Reason: "GrowthWaits", Message: "need 2 vCPUs", LastTransitionTime: ago(time.Minute),
	})
	return a
}

func TestDescribe(t *testing.T) {
	for name, a := range map[string]*about{"running": running(), "pending": pending(), "lost": lost(), "growing": growing()} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := a.print(&out, output.Paint{}, now); err != nil {
				t.Fatal(err)
			}
			path := "testdata/" + name + ".txt"
			if *update {
				if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	full := errors.New("full")
	if err := running().print(failing{full}, output.Paint{}, now); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestAmountsRoundWhatIsQEMUs(t *testing.T) {
	if got, want := amounts(1, 143424<<10, 143424<<10, ""), "1 CPU, 143424Ki + 140.1Mi for QEMU"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
