package placementmap

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

const gib = int64(1) << 30

// newHypervisor is a host of two cells, each of 8 CPUs, 32 GiB and of these 8 pages
// of 1 GiB; twice as many vCPUs as CPUs.
func newHypervisor(name string) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	hv.Status.CPUOvercommit = "2"
	hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: 32, Memory: 48 * gib, Hugepages1Gi: 16 * gib}
	hv.Status.Conditions = []metav1.Condition{{Type: v1alpha1.HypervisorReady, Status: metav1.ConditionTrue}}
	for id, cpus := range []string{"0-7", "8-15"} {
		hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{
			ID: int32(id), CPUs: cpus, Memory: 32 * gib, Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize1Gi, Total: 8}},
		})
	}
	return hv
}

func newNode(hv *v1alpha1.Hypervisor) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: hv.Name}}
	node.Status.Allocatable = capacity.FromHost(hv.Status.Allocatable).List()
	node.Spec.Taints = []corev1.Taint{{Key: v1alpha1.HypervisorTaint, Effect: corev1.TaintEffectNoSchedule}}
	return node
}

func newVM(namespace, name string, cpu int32, memory int64) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: cpu, Memory: *resource.NewQuantity(memory*gib, resource.BinarySI)}
	vm.Status.Phase = v1alpha1.PhasePending
	return vm
}

func on(vm *v1alpha1.VirtualMachine, host string, cells ...v1alpha1.PlacedCell) *v1alpha1.VirtualMachine {
	vm = vm.DeepCopy()
	vm.Status.Phase = v1alpha1.PhaseRunning
	vm.Status.Placement = &v1alpha1.Placement{NodeName: host, Cells: cells, Granted: v1alpha1.GrantedResources{
		CPU: vm.Spec.Resources.CPU, Memory: vm.Spec.Resources.Memory.Value(), Overhead: gib,
	}}
	return vm
}

func TestAHostIsCountedAsTheSchedulerCountsIt(t *testing.T) {
	hv := newHypervisor("h")
	pinned := on(newVM("a", "pinned", 4, 4), "h", v1alpha1.PlacedCell{ID: 0, CPU: 4, Memory: 4 * gib, CPUs: "0-3"})
	pinned.Status.Placement.Granted.PageSize = v1alpha1.PageSize1Gi
	got := hostOf(hv, newNode(hv), []*v1alpha1.VirtualMachine{
		pinned,
		on(newVM("a", "bound", 6, 8), "h", v1alpha1.PlacedCell{ID: 1, CPU: 6, Memory: 8 * gib}),
		on(newVM("b", "floats", 3, 5), "h"),
	})
	want := &Host{
		Name: "h", Ready: true, Schedulable: true, VMs: 3,
		Amounts: Amounts{
			// Four CPUs of its own cost eight vCPUs; each guest takes 1 GiB for QEMU.
			CPU: Amount{8 + 6 + 3, 32}, Memory: Amount{1*gib + 9*gib + 6*gib, 48 * gib}, Hugepages1Gi: Amount{4 * gib, 16 * gib},
		},
		Cells: []Cell{
			{ID: 0, CPUs: "0-7", Dedicated: 4, Amounts: Amounts{CPU: Amount{8, 16}, Memory: Amount{0, 24 * gib}, Hugepages1Gi: Amount{4 * gib, 8 * gib}}},
			{ID: 1, CPUs: "8-15", Amounts: Amounts{CPU: Amount{6, 16}, Memory: Amount{8 * gib, 24 * gib}, Hugepages1Gi: Amount{0, 8 * gib}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhereNodeAndHypervisorDifferTheSmallerCounts(t *testing.T) {
	hv := newHypervisor("h")
	node := newNode(hv)
	node.Status.Allocatable = capacity.Resources{CPU: 10, Memory: 99 * gib}.List()
	got := hostOf(hv, node, nil)
	if got.CPU != (Amount{0, 10}) || got.Memory != (Amount{0, 48 * gib}) || got.Hugepages1Gi != (Amount{0, 0}) {
		t.Errorf("%+v", got.Amounts)
	}
}

func TestHostsThatAreOutOfTheOrdinary(t *testing.T) {
	for name, test := range map[string]struct {
		change             func(*v1alpha1.Hypervisor, *corev1.Node)
		ready, schedulable bool
		want               string
	}{
		"cordoned":         {func(_ *v1alpha1.Hypervisor, n *corev1.Node) { n.Spec.Unschedulable = true }, true, false, "cordoned"},
		"silent":           {taint(v1alpha1.ExecutorUnreachableTaint), false, true, "not heard"},
		"without libvirt":  {taint(v1alpha1.LibvirtUnavailableTaint), false, true, "cannot reach libvirt"},
		"tainted by hand":  {taint("example.com/maintenance"), true, true, "tainted example.com/maintenance"},
		"not yet reported": {func(hv *v1alpha1.Hypervisor, _ *corev1.Node) { hv.Status.Conditions = nil }, false, true, "has not reported yet"},
		"contradicting itself": {func(hv *v1alpha1.Hypervisor, _ *corev1.Node) { hv.Status.Cells[1].CPUs = "0-7" },
			true, true, "its cells cannot be read: reading NUMA cell 1: CPU 0 is in cell 0 too"},
		"inconsistent": {func(hv *v1alpha1.Hypervisor, _ *corev1.Node) {
			hv.Status.Conditions = append(hv.Status.Conditions, metav1.Condition{Type: v1alpha1.HypervisorConsistent, Status: metav1.ConditionFalse, Reason: "ReportsDiffer", Message: "the Node says 3"})
		}, true, true, "ReportsDiffer: the Node says 3"},
	} {
		t.Run(name, func(t *testing.T) {
			hv := newHypervisor("h")
			node := newNode(hv)
			test.change(hv, node)
			got := hostOf(hv, node, []*v1alpha1.VirtualMachine{on(newVM("a", "vm", 2, 2), "h", v1alpha1.PlacedCell{ID: 1, CPU: 2, Memory: 2 * gib})})
			if got.Ready != test.ready || got.Schedulable != test.schedulable || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], test.want) {
				t.Errorf("ready %t, schedulable %t, notes %q", got.Ready, got.Schedulable, got.Notes)
			}
			if got.CPU[0] != 2 || got.Memory[0] != 3*gib {
				t.Errorf("the VM is not counted: %+v", got.Amounts)
			}
		})
	}
	if got := hostOf(newHypervisor("h"), nil, nil); got.Ready || got.Schedulable || !strings.Contains(strings.Join(got.Notes, " "), "it has no Node") {
		t.Errorf("without a Node: %+v", got)
	}
}

func taint(key string) func(*v1alpha1.Hypervisor, *corev1.Node) {
	return func(_ *v1alpha1.Hypervisor, n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
}

func TestVMs(t *testing.T) {
	waits := newVM("ns", "waits", 4, 8)
	waits.Status.Reason, waits.Status.Message = "Unschedulable", strings.Repeat("ä", messageLength)
	got := vmOf(waits)
	if !got.Waits || got.Host != "" || got.CPU != 4 || got.Memory != 8*gib || got.Phase != "Pending" || got.Reason != "Unschedulable" {
		t.Errorf("%+v", got)
	}
	if len(got.Message) > messageLength+len("…") || !utf8.ValidString(got.Message) || !strings.HasSuffix(got.Message, "ä…") {
		t.Errorf("message %q", got.Message)
	}
	off := newVM("ns", "off", 4, 8)
	off.Spec.PowerState, off.Spec.WhenStopped = v1alpha1.PowerStopped, v1alpha1.SlotRelease
	if got := vmOf(off); got.Waits {
		t.Errorf("a VM that is to be off waits: %+v", got)
	}
	runs := on(newVM("ns", "runs", 4, 8), "h", v1alpha1.PlacedCell{ID: 1, CPU: 4, Memory: 8 * gib, CPUs: "8-11"})
	want := &VM{Namespace: "ns", Name: "runs", Phase: "Running", Host: "h", CPU: 4, Memory: 8 * gib, Cells: []VMCell{{ID: 1, CPU: 4, Memory: 8 * gib, CPUs: "8-11"}}}
	if diff := cmp.Diff(want, vmOf(runs)); diff != "" {
		t.Error(diff)
	}
	now := metav1.Now()
	runs.DeletionTimestamp = &now
	if got := vmOf(runs); got.Phase != "Terminating" {
		t.Errorf("phase %q of a VM whose deletion was asked for", got.Phase)
	}
}

// What users write is data: no tag of it reaches a page as one.
func TestMarkupInMessagesIsEscaped(t *testing.T) {
	vm := newVM("ns", "vm", 1, 1)
	vm.Status.Message = `</script><img src=x onerror="alert(1)">`
	data, err := json.Marshal(vmOf(vm))
	if err != nil || strings.ContainsAny(string(data), "<>") {
		t.Errorf("%s, %v", data, err)
	}
}
