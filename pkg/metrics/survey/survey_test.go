package survey

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	schedulermetrics "k8s.io/kubernetes/pkg/scheduler/metrics"
	clocktesting "k8s.io/utils/clock/testing"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/plugins/fleet"
	"domus.dev/domus/pkg/plugins/fleet/fleettest"
	"domus.dev/domus/pkg/podless"
)

const gib = int64(1) << 30

// world is a scheduler's cache, a Fleet and a Survey of them.
type world struct {
	t      testing.TB
	cache  internalcache.Cache
	fleet  *fleet.Fleet
	clock  *clocktesting.FakeClock
	leads  bool
	survey *Survey
}

func newWorld(t testing.TB) *world {
	t.Helper()
	schedulermetrics.Register()
	w := &world{t: t, fleet: fleettest.New(t), clock: clocktesting.NewFakeClock(time.Unix(0, 0)), leads: true}
	w.cache = internalcache.New(t.Context(), nil, false, false)
	w.survey = New(Options{Cache: w.cache, Fleet: w.fleet.Reader(), Leads: func() bool { return w.leads }, Clock: w.clock})
	return w
}

// host adds a host of two NUMA cells, each of 8 CPUs, 24 GiB of ordinary memory and
// 8 pages of 1 GiB.
func (w *world) host(name string, change ...func(*corev1.Node, *v1alpha1.HypervisorStatus)) {
	w.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s := &hv.Status
	s.Mode, s.CPUOvercommit = v1alpha1.ModeDedicated, "2"
	s.DomainTypes = []v1alpha1.DomainType{{Type: "kvm", Arch: "x86_64"}}
	s.Capacity = v1alpha1.HostCapacity{CPU: 16, Memory: 48 * gib, Hugepages1Gi: 16 * gib}
	s.Allocatable = v1alpha1.HostCapacity{CPU: 32, Memory: 46 * gib, Hugepages1Gi: 16 * gib}
	s.Conditions = []metav1.Condition{{Type: v1alpha1.HypervisorReady, Status: metav1.ConditionTrue}}
	s.Pools = []v1alpha1.HostPool{{Name: "default", Capacity: 100, Allocatable: 90}}
	for id := range int32(2) {
		s.Cells = append(s.Cells, v1alpha1.Cell{
			ID: id, CPUs: fmt.Sprintf("%d-%d", 8*id, 8*id+7), Memory: 32 * gib,
			Hugepages: []v1alpha1.PagePool{{Size: v1alpha1.PageSize1Gi, Total: 8}},
		})
	}
	for _, f := range change {
		f(node, s)
	}
	node.Status.Allocatable = capacity.FromHost(s.Allocatable).List()
	w.cache.AddNode(klog.Background(), node)
	w.fleet.See(hv)
}

// run binds a VM of so many vCPUs and GiB to a host.
func (w *world) run(name, host string, cpu int32, memory int64, change ...func(*v1alpha1.VirtualMachine)) {
	w.t.Helper()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: cpu, Memory: *resource.NewQuantity(memory*gib, resource.BinarySI), Overhead: resource.NewQuantity(0, resource.BinarySI)}
	vm.Status.Placement = &v1alpha1.Placement{NodeName: host, Granted: v1alpha1.GrantedResources{CPU: cpu, Memory: memory * gib}}
	for _, f := range change {
		f(vm)
	}
	if err := w.cache.AddPod(klog.Background(), podless.Project(vm, podless.Priority{})); err != nil {
		w.t.Fatal(err)
	}
}

func in(cell int32) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		p := vm.Status.Placement
		p.Cells = []v1alpha1.PlacedCell{{ID: cell, CPU: p.Granted.CPU, Memory: p.Granted.Memory}}
	}
}

// tells compares values with what is told: "metric{labels} value", one a line.
func (w *world) tells(want string) {
	w.t.Helper()
	var text strings.Builder
	var names []string
	last := ""
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		line = strings.TrimSpace(line)
		name := line[:strings.IndexAny(line, "{ ")]
		if name != last {
			for _, m := range Metrics() {
				if m.Name == name {
					fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", name, m.Help, name, m.Type)
				}
			}
			names, last = append(names, name), name
		}
		text.WriteString(line + "\n")
	}
	if err := testutil.CollectAndCompare(w.survey, strings.NewReader(text.String()), names...); err != nil {
		w.t.Error(err)
	}
}

func TestWhatHostsHaveAndVMsHold(t *testing.T) {
	w := newWorld(t)
	w.host("a")
	w.run("floats", "a", 2, 4)
	w.run("bound", "a", 3, 6, in(1))
	w.run("pinned", "a", 1, 2, in(0), func(vm *v1alpha1.VirtualMachine) {
		c := &vm.Status.Placement.Cells[0]
		c.CPUs, c.Idle = "0", "1"
	})
	w.tells(`
		domus_host_allocatable_cpus{node="a"} 32
		domus_host_allocatable_memory_bytes{node="a",page_size="1Gi"} 1.7179869184e+10
		domus_host_allocatable_memory_bytes{node="a",page_size="2Mi"} 0
		domus_host_allocatable_memory_bytes{node="a",page_size="4Ki"} 4.9392123904e+10
		domus_host_capacity_cpus{node="a"} 16
		domus_host_cell_cpus{cell="0",node="a"} 8
		domus_host_cell_cpus{cell="1",node="a"} 8
		domus_host_cell_dedicated_cpus{cell="0",node="a"} 2
		domus_host_cell_dedicated_cpus{cell="1",node="a"} 0
		domus_host_cell_requested_memory_bytes{cell="0",node="a",page_size="1Gi"} 0
		domus_host_cell_requested_memory_bytes{cell="0",node="a",page_size="2Mi"} 0
		domus_host_cell_requested_memory_bytes{cell="0",node="a",page_size="4Ki"} 2.147483648e+09
		domus_host_cell_requested_memory_bytes{cell="1",node="a",page_size="1Gi"} 0
		domus_host_cell_requested_memory_bytes{cell="1",node="a",page_size="2Mi"} 0
		domus_host_cell_requested_memory_bytes{cell="1",node="a",page_size="4Ki"} 6.442450944e+09
		domus_host_cell_shared_vcpus{cell="0",node="a"} 0
		domus_host_cell_shared_vcpus{cell="1",node="a"} 3
		domus_host_cpu_overcommit_ratio{node="a"} 2
		domus_host_info{domain_type="kvm",executor="",hypervisor="",libvirt="",mode="Dedicated",node="a",simulated="false"} 1
		domus_host_pool_allocatable_bytes{node="a",pool="default"} 90
		domus_host_pool_capacity_bytes{node="a",pool="default"} 100
		domus_host_ready{node="a"} 1
		domus_host_requested_cpus{node="a"} 9
		domus_host_schedulable{node="a"} 1
		domus_host_vms{node="a"} 3`)
}

func TestHostsThatTakeNoVM(t *testing.T) {
	w := newWorld(t)
	w.host("silent", func(n *corev1.Node, _ *v1alpha1.HypervisorStatus) {
		n.Spec.Taints = []corev1.Taint{{Key: v1alpha1.ExecutorUnreachableTaint, Effect: corev1.TaintEffectNoSchedule}}
	})
	w.host("without-libvirt", func(_ *corev1.Node, s *v1alpha1.HypervisorStatus) { s.Conditions[0].Status = metav1.ConditionFalse })
	w.host("cordoned", func(n *corev1.Node, _ *v1alpha1.HypervisorStatus) { n.Spec.Unschedulable = true })
	w.cache.AddNode(klog.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "for-pods"}})
	w.tells(`
		domus_fleet_largest_vm_cpus{shape="dedicated"} 0
		domus_fleet_largest_vm_cpus{shape="hugepages-1Gi"} 0
		domus_fleet_largest_vm_cpus{shape="hugepages-2Mi"} 0
		domus_fleet_largest_vm_cpus{shape="shared"} 0
		domus_fleet_largest_vm_cpus{shape="single-cell"} 0
		domus_host_ready{node="cordoned"} 1
		domus_host_ready{node="silent"} 0
		domus_host_ready{node="without-libvirt"} 0
		domus_host_schedulable{node="cordoned"} 0
		domus_host_schedulable{node="silent"} 1
		domus_host_schedulable{node="without-libvirt"} 1`)
}

// On a host of 46 GiB and two cells of 24 a VM of 4 GiB for each vCPU, and QEMU's
// own part, has 11 vCPUs or, in one cell, 6: what QEMU needs floats. In pages it has
// 2, since a cell has 8 GiB of them.
func TestLargestVMs(t *testing.T) {
	w := newWorld(t)
	w.host("a")
	w.host("b")
	w.run("large", "b", 16, 40)
	w.tells(`
		domus_fleet_largest_vm_cpus{shape="dedicated"} 6
		domus_fleet_largest_vm_cpus{shape="hugepages-1Gi"} 2
		domus_fleet_largest_vm_cpus{shape="hugepages-2Mi"} 0
		domus_fleet_largest_vm_cpus{shape="shared"} 11
		domus_fleet_largest_vm_cpus{shape="single-cell"} 6
		domus_fleet_placeable_vms{shape="dedicated"} 2
		domus_fleet_placeable_vms{shape="hugepages-1Gi"} 0
		domus_fleet_placeable_vms{shape="hugepages-2Mi"} 0
		domus_fleet_placeable_vms{shape="shared"} 2
		domus_fleet_placeable_vms{shape="single-cell"} 2
		domus_fleet_unprotected_hosts 0
		domus_fleet_unprotected_vms 0`)
	w.run("larger", "a", 16, 40)
	w.clock.Step(validFor)
	w.tells(`
		domus_fleet_unprotected_hosts 2
		domus_fleet_unprotected_vms 2`)
}

func TestOneLookServesAllWhoAsk(t *testing.T) {
	w := newWorld(t)
	w.host("a")
	w.tells(`domus_host_vms{node="a"} 0`)
	w.run("new", "a", 1, 1)
	w.clock.Step(validFor - time.Second)
	w.tells(`domus_host_vms{node="a"} 0`)
	w.clock.Step(time.Second)
	w.tells(`domus_host_vms{node="a"} 1`)
	w.leads = false
	if n := testutil.CollectAndCount(w.survey); n != 0 {
		t.Errorf("a replica that does not lead tells %d series", n)
	}
}

func TestNothingIsToldBeforeAllHostsAreRead(t *testing.T) {
	s := New(Options{Cache: internalcache.New(t.Context(), nil, false, false), Fleet: fleettest.Unread(t).Reader(), Leads: func() bool { return true }, Clock: clocktesting.NewFakeClock(time.Unix(0, 0))})
	if n := testutil.CollectAndCount(s); n != 0 {
		t.Errorf("%d series of hosts that are not known", n)
	}
}

// The collectors that are asked tell just what the page is registered with.
func TestAllOfTheLeadersTableIsTold(t *testing.T) {
	told := map[string]bool{}
	for _, m := range Metrics() {
		told[m.Name] = true
	}
	for _, m := range metrics.Table() {
		if strings.HasPrefix(m.Name, "domus_host_") || strings.HasPrefix(m.Name, "domus_fleet_") {
			if m.Page == metrics.Leader && m != metrics.ExecutorRejections && !told[m.Name] {
				t.Errorf("%s is told by nobody", m.Name)
			}
		}
	}
}

// BenchmarkLook is one look at 1,000 hosts with 8 VMs each.
func BenchmarkLook(b *testing.B) {
	w := newWorld(b)
	for h := range 1000 {
		name := fmt.Sprintf("host-%d", h)
		w.host(name)
		for v := range 8 {
			w.run(fmt.Sprintf("%s-%d", name, v), name, 1, 2, in(int32(v%2)))
		}
	}
	if err := w.cache.UpdateSnapshot(klog.Background(), w.survey.snapshot); err != nil {
		b.Fatal(err)
	}
	nodes, _ := w.survey.snapshot.NodeInfos().List()
	w.survey.look(nodes)
	for b.Loop() {
		w.survey.look(nodes)
	}
}
