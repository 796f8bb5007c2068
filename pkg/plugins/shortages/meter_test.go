package shortages

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	schedulercache "k8s.io/kubernetes/pkg/scheduler/backend/cache"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/plugins/hostnuma"
	"domus.dev/domus/pkg/plugins/hostresources"
	"domus.dev/domus/pkg/plugins/rejections"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

func project(cpu int32, memory int64, on string) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "on-" + on, UID: "u"}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{
		CPU: cpu, Memory: *resource.NewQuantity(memory, resource.BinarySI), Overhead: resource.NewQuantity(0, resource.BinarySI), NUMA: v1alpha1.NUMASingleCell,
	}
	if on != "" {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: on, Granted: podless.Desired(vm)}
	}
	return podless.Project(vm, podless.Priority{})
}

// meter is for a VM in one cell. Host large has two cells of 4 CPUs and 8Gi, and
// a VM of 6 CPUs and 12Gi; small has one such cell, and none.
func meter(t *testing.T, cpu int32, memory int64) *Meter {
	t.Helper()
	f := fleettest.New(t)
	var nodes []*corev1.Node
	for name, cells := range map[string]int64{"large": 2, "small": 1} {
		hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for i := range cells {
			hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{ID: int32(i), CPUs: []string{"0-3", "4-7"}[i], Memory: 8 * gib})
		}
		hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: 4 * cells, Memory: cells * 8 * gib}
		f.See(hv)
		nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			v1alpha1.ResourceCPU: *resource.NewQuantity(4*cells, resource.DecimalSI), v1alpha1.ResourceMemory: *resource.NewQuantity(cells*8*gib, resource.BinarySI),
		}}})
	}
	request, err := podless.NUMARequestOf(project(cpu, memory, ""))
	if err != nil {
		t.Fatal(err)
	}
	return New(f, request, schedulercache.NewSnapshot([]*corev1.Pod{project(6, 12*gib, "large")}, nodes).NodeInfos())
}

func TestOf(t *testing.T) {
	m := meter(t, 3, 6*gib)
	cpus := numa.Shortage{Resource: v1alpha1.ResourceCPU, Need: 3, Largest: 2}
	const lackCPUs, lackMemory = "host(s) lack 3 vCPUs", "host(s) lack 6Gi of memory"
	for name, test := range map[string]struct {
		host string
		kind rejections.Kind
		want *numa.Shortage
	}{
		"what is short":                {"large", rejections.Kind{Plugin: hostresources.Name, Reason: lackCPUs}, &cpus},
		"each of what is short":        {"large", rejections.Kind{Plugin: hostresources.Name, Reason: lackMemory}, &numa.Shortage{Resource: v1alpha1.ResourceMemory, Need: 6 * gib, Largest: 4 * gib}},
		"in cells":                     {"large", rejections.Kind{Plugin: hostnuma.Name, Reason: "host(s) lack 3 vCPUs in one cell"}, &cpus},
		"there, but promised":          {"small", rejections.Kind{Plugin: hostresources.Name, Reason: lackCPUs}, nil},
		"there, when empty":            {"large", rejections.Kind{Plugin: hostresources.Name, Reason: lackCPUs, Final: true}, nil},
		"a host that is gone":          {"gone", rejections.Kind{Plugin: hostresources.Name, Reason: lackCPUs}, &numa.Shortage{Reason: lackCPUs}},
		"what another plugin says":     {"large", rejections.Kind{Plugin: "Other", Reason: lackCPUs}, &numa.Shortage{Reason: lackCPUs}},
		"a reason that is not amounts": {"large", rejections.Kind{Plugin: hostresources.Name, Reason: "host(s) run no vm-executor"}, &numa.Shortage{Reason: "host(s) run no vm-executor"}},
	} {
		if diff := cmp.Diff(test.want, m.Of(test.host, test.kind)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhenEmpty(t *testing.T) {
	full := fwk.NewStatus(fwk.Unschedulable, "host(s) lack 1 of what is taken").WithPlugin(hostresources.Name)
	other := fwk.NewStatus(fwk.Unschedulable, "host(s) lack patience").WithPlugin("Other")
	says := func(plugin string, reasons ...string) *fwk.Status {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reasons...).WithPlugin(plugin)
	}
	for name, test := range map[string]struct {
		cpu          int32
		memory       int64
		said         *fwk.Status
		large, small *fwk.Status
	}{
		"each would take it":          {4, gib, full, full, full},
		"too large for one":           {4, 10 * gib, full, says(hostnuma.Name, "host(s) lack 10Gi of memory in one cell"), says(hostresources.Name, "host(s) lack 10Gi of memory")},
		"too large in two ways":       {9, 20 * gib, full, says(hostresources.Name, "host(s) lack 9 vCPUs", "host(s) lack 20Gi of memory"), says(hostresources.Name, "host(s) lack 9 vCPUs", "host(s) lack 20Gi of memory")},
		"it was not for want of room": {9, 20 * gib, other, other, other},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]*fwk.Status{"large": test.large, "small": test.small, "gone": test.said}
			got := maps.Collect(meter(t, test.cpu, test.memory).WhenEmpty(maps.All(map[string]*fwk.Status{"large": test.said, "small": test.said, "gone": test.said})))
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *fwk.Status) bool {
				return a.Code() == b.Code() && a.Plugin() == b.Plugin() && cmp.Equal(a.Reasons(), b.Reasons())
			})); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
		})
	}
}
