package hostnuma

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

// hosts is a plugin that knows these hosts.
func hosts(t testing.TB, args string, described ...*v1alpha1.Hypervisor) *plugin {
	t.Helper()
	f := fleettest.New(t)
	for _, hv := range described {
		f.See(hv)
	}
	var obj runtime.Object
	if args != "" {
		obj = &runtime.Unknown{Raw: []byte(args)}
	}
	decoded, err := decode(obj)
	if err != nil {
		t.Fatal(err)
	}
	return &plugin{args: decoded, fleet: f}
}

// described is a host of cells with 4 CPUs and 8 GiB each, 4 GiB of it in 1Gi
// pages.
func described(name string, cells int) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for i := range cells {
		hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{
			ID: int32(i), CPUs: cpus(i), Memory: 8 * gib,
			Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize1Gi, Total: 4}},
		})
	}
	hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: int64(4 * cells), Memory: int64(cells) * 4 * gib, Hugepages1Gi: int64(cells) * 4 * gib}
	return hv
}

func cpus(cell int) string { return []string{"0-3", "4-7", "8-11", "12-15"}[cell] }

// node is the NodeInfo of a described host with projected VMs on it.
func node(hv *v1alpha1.Hypervisor, pods ...*corev1.Pod) fwk.NodeInfo {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: hv.Name}}
	a := hv.Status.Allocatable
	n.Status.Allocatable = corev1.ResourceList{
		v1alpha1.ResourceCPU:          *resource.NewQuantity(a.CPU, resource.DecimalSI),
		v1alpha1.ResourceMemory:       *resource.NewQuantity(a.Memory, resource.BinarySI),
		v1alpha1.ResourceHugepages1Gi: *resource.NewQuantity(a.Hugepages1Gi, resource.BinarySI),
	}
	info := framework.NewNodeInfo(pods...)
	info.SetNode(n)
	return info
}

// vm is a VM of one vCPU and 1 GiB in 1Gi pages of one cell, without overhead.
func vm(name string, change ...func(*v1alpha1.VirtualMachine)) *v1alpha1.VirtualMachine {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "uid-1234"}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{
		CPU: 1, Memory: resource.MustParse("1Gi"), Hugepages: &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize1Gi},
		NUMA: v1alpha1.NUMASingleCell, Overhead: resource.NewQuantity(0, resource.BinarySI),
	}
	for _, f := range change {
		f(vm)
	}
	return vm
}

func projected(vm *v1alpha1.VirtualMachine) *corev1.Pod {
	return podless.Project(vm, podless.Priority{})
}

func sized(cpu int32, memory string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.CPU, vm.Spec.Resources.Memory = cpu, resource.MustParse(memory)
	}
}

func numaPolicy(p v1alpha1.NUMAPolicy) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.NUMA = p }
}

func dedicated(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.CPUPolicy = v1alpha1.CPUDedicated }

func ordinary(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.Hugepages = nil }

// on binds the VM to a host and cells.
func on(host string, cells ...v1alpha1.PlacedCell) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: host, Granted: podless.Desired(vm), Cells: cells}
	}
}

// one is all of a VM of one vCPU in one cell.
func one(cell int32, memory int64, pinned string) v1alpha1.PlacedCell {
	return v1alpha1.PlacedCell{ID: cell, CPU: 1, Memory: memory, CPUs: pinned}
}

func TestFilter(t *testing.T) {
	hv := described("a", 2)
	full := projected(vm("full", sized(1, "4Gi"), on("a", one(0, 4*gib, ""))))
	for name, test := range map[string]struct {
		vm   *v1alpha1.VirtualMachine
		node fwk.NodeInfo
		want *fwk.Status
	}{
		"an empty cell holds it":             {vm("vm", sized(4, "4Gi")), node(hv), nil},
		"the other cell holds it":            {vm("vm", sized(4, "4Gi")), node(hv, full), nil},
		"both cells are full":                {vm("vm"), node(hv, full, projected(vm("too", sized(1, "4Gi"), on("a", one(1, 4*gib, ""))))), fwk.NewStatus(fwk.Unschedulable, "host(s) lack 1Gi of 1Gi hugepages")},
		"what is free is in two cells":       {vm("vm", sized(1, "4Gi")), node(hv, projected(vm("b", on("a", one(0, gib, "")))), projected(vm("c", on("a", one(1, gib, ""))))), fwk.NewStatus(fwk.Unschedulable, "host(s) lack 4Gi of 1Gi hugepages in one cell")},
		"no cell is so large":                {vm("vm", sized(5, "1Gi")), node(hv), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) lack 5 vCPUs in one cell")},
		"two cells are":                      {vm("vm", sized(5, "2Gi"), numaPolicy(v1alpha1.NUMARestricted)), node(hv), nil},
		"CPUs that another has to itself":    {vm("vm", sized(4, "1Gi"), dedicated), node(hv, projected(vm("b", dedicated, on("a", one(0, gib, "2")))), projected(vm("c", dedicated, on("a", one(1, gib, "4"))))), fwk.NewStatus(fwk.Unschedulable, "host(s) lack 4 dedicated CPUs in one cell")},
		"a nominated VM is given its place":  {vm("vm", sized(1, "2Gi")), node(hv, projected(vm("b", sized(1, "3Gi"), on("a", one(0, 3*gib, "")))), projected(vm("nominated", sized(1, "3Gi")))), fwk.NewStatus(fwk.Unschedulable, "host(s) lack 2Gi of 1Gi hugepages in one cell")},
		"a floating VM takes from no cell":   {vm("vm", sized(4, "4Gi")), node(hv, projected(vm("floats", sized(2, "2Gi"), numaPolicy(""), on("a")))), nil},
		"but from the host":                  {vm("vm", sized(1, "4Gi")), node(hv, projected(vm("floats", sized(2, "5Gi"), numaPolicy(""), on("a")))), fwk.NewStatus(fwk.Unschedulable, "host(s) lack 4Gi of 1Gi hugepages")},
		"ordinary memory is another pool":    {vm("vm", ordinary, sized(1, "4Gi")), node(hv, full), nil},
		"real pods are none of the VMs'":     {vm("vm", sized(4, "4Gi")), node(hv, realPod()), nil},
		"a host that is not described":       {vm("vm"), node(described("unknown", 2)), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) have no Hypervisor")},
		"a Node that offers less than cells": {vm("vm", sized(1, "2Gi")), node(withPages(hv, gib)), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "host(s) lack 2Gi of 1Gi hugepages")},
	} {
		t.Run(name, func(t *testing.T) {
			p, cs := hosts(t, "", hv), framework.NewCycleState()
			if _, status := p.PreFilter(t.Context(), cs, projected(test.vm), nil); !status.IsSuccess() {
				t.Fatal(status)
			}
			if diff := cmp.Diff(test.want, p.Filter(t.Context(), cs, nil, test.node)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

// withPages is the host with another amount of 1Gi pages on its Node.
func withPages(hv *v1alpha1.Hypervisor, bytes int64) *v1alpha1.Hypervisor {
	out := hv.DeepCopy()
	out.Status.Allocatable.Hugepages1Gi = bytes
	return out
}

func realPod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "real", UID: "real"}}
	pod.Spec.NodeName = "a"
	pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("3"), corev1.ResourceMemory: resource.MustParse("7Gi"),
	}}}}
	return pod
}

func TestAVMThatBindsNothingIsSkipped(t *testing.T) {
	_, status := hosts(t, "").PreFilter(t.Context(), framework.NewCycleState(), projected(vm("vm", numaPolicy(""))), nil)
	if !status.IsSkip() {
		t.Errorf("status %v", status)
	}
}

func TestScore(t *testing.T) {
	small, large := described("small", 2), described("large", 4)
	for name, test := range map[string]struct {
		args string
		vm   *v1alpha1.VirtualMachine
		// want is the score after normalisation of the small host and the large.
		want [2]int64
	}{
		"restricted: one cell on both":       {"", vm("vm", sized(4, "4Gi"), numaPolicy(v1alpha1.NUMARestricted)), [2]int64{100, 100}},
		"restricted: two cells on both":      {"", vm("vm", sized(8, "8Gi"), numaPolicy(v1alpha1.NUMARestricted)), [2]int64{50, 50}},
		"spread: two cells and four":         {"", vm("vm", sized(4, "4Gi"), numaPolicy(v1alpha1.NUMASpread)), [2]int64{50, 100}},
		"spread: as many as vCPUs":           {"", vm("vm", sized(1, "4Gi"), numaPolicy(v1alpha1.NUMASpread)), [2]int64{100, 100}},
		"the emptiest: 2 of 4 GiB would be":  {`{"scoringStrategy":{"type":"LeastAllocated"}}`, vm("vm", sized(1, "2Gi")), [2]int64{50, 50}},
		"the fullest: 4 of 4 GiB would be":   {`{"scoringStrategy":{"type":"MostAllocated"}}`, vm("vm", sized(1, "4Gi")), [2]int64{100, 100}},
		"the fullest over cells: 4 of 8, 16": {`{"scoringStrategy":{"type":"MostAllocated"}}`, vm("vm", sized(4, "4Gi"), numaPolicy(v1alpha1.NUMASpread)), [2]int64{50, 25}},
	} {
		t.Run(name, func(t *testing.T) {
			p, cs := hosts(t, test.args, small, large), framework.NewCycleState()
			p.PreFilter(t.Context(), cs, projected(test.vm), nil)
			if status := p.PreScore(t.Context(), cs, nil, nil); !status.IsSuccess() {
				t.Fatal(status)
			}
			var scores fwk.NodeScoreList
			for _, hv := range []*v1alpha1.Hypervisor{small, large} {
				score, status := p.Score(t.Context(), cs, nil, node(hv))
				if !status.IsSuccess() {
					t.Fatal(status)
				}
				scores = append(scores, fwk.NodeScore{Name: hv.Name, Score: score})
			}
			if status := p.NormalizeScore(t.Context(), cs, nil, scores); !status.IsSuccess() {
				t.Fatal(status)
			}
			if got := [2]int64{scores[0].Score, scores[1].Score}; got != test.want {
				t.Errorf("scores %v, want %v", got, test.want)
			}
		})
	}
	p, cs := hosts(t, "", small), framework.NewCycleState()
	p.PreFilter(t.Context(), cs, projected(vm("vm")), nil)
	if status := p.PreScore(t.Context(), cs, nil, nil); !status.IsSkip() {
		t.Errorf("single cells are not told apart by count: %v", status)
	}
}

func TestWrongArgumentsNameTheField(t *testing.T) {
	for args, want := range map[string]string{
		`{"scoringStrategy":{"type":"Best"}}`: `pluginConfig[HostNUMA].args.scoringStrategy.type: Unsupported value: "Best"`,
		`{"scoringStrategie":{}}`:             `pluginConfig[HostNUMA].args`,
	} {
		_, err := decode(&runtime.Unknown{Raw: []byte(args)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}
