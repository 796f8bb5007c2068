package hostfragmentation

import (
	"fmt"
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
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/capacity/numa"
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
	p, err := New(f)(t.Context(), obj, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*plugin)
}

// described is a host of cells with 16 CPUs and 64 GiB each.
func described(name string, cells int) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for i := range cells {
		hv.Status.Cells = append(hv.Status.Cells, v1alpha1.Cell{ID: int32(i), CPUs: fmt.Sprintf("%d-%d", 16*i, 16*i+15), Memory: 64 * gib})
	}
	hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: int64(16 * cells), Memory: int64(cells) * 64 * gib}
	return hv
}

func node(hv *v1alpha1.Hypervisor, pods ...*corev1.Pod) fwk.NodeInfo {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: hv.Name}}
	n.Status.Allocatable = capacity.FromHost(hv.Status.Allocatable).List()
	info := framework.NewNodeInfo(pods...)
	info.SetNode(n)
	return info
}

// vm is a VM of one vCPU and 4 GiB, without overhead.
func vm(name string, change ...func(*v1alpha1.VirtualMachine)) *corev1.Pod {
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "uid-1234"}}
	vm.Spec.Resources = v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("4Gi"), Overhead: resource.NewQuantity(0, resource.BinarySI)}
	for _, f := range change {
		f(vm)
	}
	return podless.Project(vm, podless.Priority{})
}

func sized(cpu int32, memory string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Spec.Resources.CPU, vm.Spec.Resources.Memory = cpu, resource.MustParse(memory)
	}
}

func singleCell(vm *v1alpha1.VirtualMachine) { vm.Spec.Resources.NUMA = v1alpha1.NUMASingleCell }

// on binds the VM to a host and cells.
func on(host string, cells ...v1alpha1.PlacedCell) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) {
		vm.Status.Placement = &v1alpha1.Placement{NodeName: host, Granted: podless.Desired(vm), Cells: cells}
	}
}

// in is all of a VM in one cell.
func in(cell, cpu int32, memory int64) v1alpha1.PlacedCell {
	return v1alpha1.PlacedCell{ID: cell, CPU: cpu, Memory: memory}
}

func score(t *testing.T, p *plugin, vm *corev1.Pod, nodes []fwk.NodeInfo) []int64 {
	t.Helper()
	cs := framework.NewCycleState()
	if status := p.PreScore(t.Context(), cs, vm, nodes); !status.IsSuccess() {
		t.Fatal(status)
	}
	scores := make(fwk.NodeScoreList, len(nodes))
	for i, node := range nodes {
		value, status := p.Score(t.Context(), cs, vm, node)
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		scores[i] = fwk.NodeScore{Name: node.Node().Name, Score: value}
	}
	if status := p.NormalizeScore(t.Context(), cs, vm, scores); !status.IsSuccess() {
		t.Fatal(status)
	}
	var out []int64
	for _, s := range scores {
		out = append(out, s.Score)
	}
	return out
}

func TestScore(t *testing.T) {
	a, b, flat := described("a", 1), described("b", 1), described("flat", 1)
	flat.Status.Cells = nil
	two := described("two", 2)
	large := `{"shapes":[{"cpu":16,"memory":"32Gi"}]}`
	cells := `{"shapes":[{"cpu":16,"memory":"32Gi","numa":"single-cell"}]}`
	both := `{"shapes":[{"cpu":16,"memory":"32Gi","weight":3},{"cpu":8,"memory":"16Gi"}]}`
	for name, test := range map[string]struct {
		args  string
		vm    *corev1.Pod
		nodes []fwk.NodeInfo
		want  []int64
	}{
		// An empty host loses the only whole place of all, and one of three
		// halves: (1/1 + 1/3) / 2 of all. One begun has lost them before.
		"a host that is begun is preferred": {"", vm("vm"), []fwk.NodeInfo{node(a), node(b, vm("x", on("b")))}, []int64{33, 100}},
		// What is full to the half loses the half: a has 1 whole, 2 halves, b 1.
		"a half is worth less than a whole":             {"", vm("vm"), []fwk.NodeInfo{node(a), node(b, vm("x", sized(8, "8Gi"), on("b")))}, []int64{50, 100}},
		"equal hosts are equal":                         {"", vm("vm"), []fwk.NodeInfo{node(a), node(b)}, []int64{100, 100}},
		"so are hosts without cells":                    {"", vm("vm"), []fwk.NodeInfo{node(flat), node(flat)}, []int64{100, 100}},
		"a large VM takes the place that it needs":      {large, vm("vm", sized(16, "32Gi")), []fwk.NodeInfo{node(a), node(b)}, []int64{100, 100}},
		"one that no place is lost to costs nothing":    {large, vm("vm", sized(1, "1Gi")), []fwk.NodeInfo{node(a, vm("x", on("a"))), node(b, vm("x", on("b")))}, []int64{100, 100}},
		"a cell that is begun saves the other one":      {cells, vm("vm", singleCell), []fwk.NodeInfo{node(two, vm("x", singleCell, on("two", in(0, 1, 4*gib)))), node(a)}, []int64{100, 50}},
		"what floats is taken from the host":            {cells, vm("vm"), []fwk.NodeInfo{node(two), node(described("four", 4))}, []int64{100, 100}},
		"weights: 3/4 of 1 of 2 and 1/4 of 1 of 5":      {both, vm("vm"), []fwk.NodeInfo{node(a), node(b), node(flat, vm("x", on("flat")))}, []int64{57, 57, 100}},
		"a host without an executor has none to lose":   {"", vm("vm"), []fwk.NodeInfo{noExecutor()}, []int64{100}},
		"no place anywhere":                             {`{"shapes":[{"cpu":999,"memory":"1Gi"}]}`, vm("vm"), []fwk.NodeInfo{node(a)}, []int64{100}},
		"the more places are left, the less one counts": {large, vm("vm"), []fwk.NodeInfo{node(a), node(b), node(described("c", 8)), node(flat, vm("x", on("flat")))}, []int64{90, 90, 90, 100}},
	} {
		t.Run(name, func(t *testing.T) {
			p := hosts(t, test.args, a, b, flat, two, described("four", 4), described("c", 8))
			if diff := cmp.Diff(test.want, score(t, p, test.vm, test.nodes)); diff != "" {
				t.Errorf("scores (-want +got):\n%s", diff)
			}
		})
	}
}

func noExecutor() fwk.NodeInfo {
	info := framework.NewNodeInfo()
	info.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "plain"}})
	return info
}

func TestOwnShapes(t *testing.T) {
	reserved := described("a", 2)
	reserved.Status.Allocatable = v1alpha1.HostCapacity{CPU: 30, Memory: 120 * gib}
	pages := described("a", 2)
	for i := range pages.Status.Cells {
		pages.Status.Cells[i].Hugepages = []v1alpha1.PagePool{{Size: v1alpha1.PageSize1Gi, Total: 47}}
	}
	pages.Status.Allocatable = v1alpha1.HostCapacity{CPU: 32, Memory: 30 * gib, Hugepages1Gi: 94 * gib}
	uneven := described("a", 2)
	uneven.Status.Cells[1].Memory = 192 * gib
	uneven.Status.Allocatable.Memory = 256 * gib
	flat := described("a", 1)
	flat.Status.Cells = nil
	type shape struct {
		CPU int32
		// Memory is in MiB.
		Memory int64
		Pages  v1alpha1.PageSize
		NUMA   v1alpha1.NUMAPolicy
		// Places on the empty host.
		Places int64
	}
	for name, test := range map[string]struct {
		hv   *v1alpha1.Hypervisor
		want []shape
	}{
		"a host's reserve is of each cell": {reserved, []shape{{15, 60 << 10, "", v1alpha1.NUMASingleCell, 2}, {7, 30 << 10, "", v1alpha1.NUMASingleCell, 4}}},
		"memory is mostly in pages":        {pages, []shape{{16, 47 << 10, v1alpha1.PageSize1Gi, v1alpha1.NUMASingleCell, 2}, {8, 23 << 10, v1alpha1.PageSize1Gi, v1alpha1.NUMASingleCell, 4}}},
		"the largest of cells":             {uneven, []shape{{16, 192 << 10, "", v1alpha1.NUMASingleCell, 1}, {8, 96 << 10, "", v1alpha1.NUMASingleCell, 2}}},
		"no cells":                         {flat, []shape{{16, 64 << 10, "", v1alpha1.NUMANone, 1}, {8, 32 << 10, "", v1alpha1.NUMANone, 2}}},
		"a host too small for any":         {&v1alpha1.Hypervisor{}, nil},
		"one CPU has no half":              {tiny(1, 8*gib), []shape{{1, 8 << 10, "", v1alpha1.NUMANone, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := numa.FromHypervisor(&test.hv.Status)
			if err != nil {
				t.Fatal(err)
			}
			own, n := ownShapes(&h)
			var got []shape
			for _, s := range own[:n] {
				g := s.request.Granted
				got = append(got, shape{g.CPU, g.Memory >> 20, g.PageSize, s.request.NUMA, numa.Room(numa.NewUsage(&h), &s.request, maxPlaces)})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("shapes (-want +got):\n%s", diff)
			}
		})
	}
}

func tiny(cpu, memory int64) *v1alpha1.Hypervisor {
	hv := &v1alpha1.Hypervisor{}
	hv.Status.Allocatable = v1alpha1.HostCapacity{CPU: cpu, Memory: memory}
	return hv
}

func TestWrongArgumentsNameTheField(t *testing.T) {
	for args, want := range map[string]string{
		`{"shapes":[{"memory":"1Gi"}]}`:                                                               `pluginConfig[HostFragmentation].args.shapes[0].cpu: Invalid value: 0`,
		`{"shapes":[{"cpu":1}]}`:                                                                      `args.shapes[0].memory: Invalid value: "0"`,
		`{"shapes":[{"cpu":1,"memory":"1537Mi","hugepages":"1Gi"}]}`:                                  `args.shapes[0].memory: Invalid value: "1537Mi": must be greater than 0 and whole pages`,
		`{"shapes":[{"cpu":1,"memory":"1Gi","hugepages":"4Ki"}]}`:                                     `args.shapes[0].hugepages: Unsupported value: "4Ki"`,
		`{"shapes":[{"cpu":1,"memory":"1Gi","numa":"spread"}]}`:                                       `args.shapes[0].numa: Unsupported value: "spread": supported values: "none", "single-cell"`,
		`{"shapes":[{"cpu":1,"memory":"1Gi","cpuPolicy":"pinned"}]}`:                                  `args.shapes[0].cpuPolicy: Unsupported value: "pinned"`,
		`{"shapes":[{"cpu":1,"memory":"1Gi"},{"cpu":1,"memory":"1Gi","weight":101}]}`:                 `args.shapes[1].weight: Invalid value: 101`,
		`{"shapes":[` + strings.Repeat(`{"cpu":1,"memory":"1Gi"},`, 8) + `{"cpu":1,"memory":"1Gi"}]}`: `args.shapes: Too many: 9: must have at most 8 items`,
		`{"shape":[]}`: `pluginConfig[HostFragmentation].args`,
	} {
		_, err := decode(&runtime.Unknown{Raw: []byte(args)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}

func TestATallyHoldsEveryShape(t *testing.T) {
	var sum tally
	for shape := range maxShapes {
		sum = sum.with(shape, maxPlaces, int64(shape))
	}
	for shape := range maxShapes {
		if sum.places(shape) != maxPlaces || sum.lost(shape) != int64(shape) {
			t.Errorf("shape %d: %d places, %d lost", shape, sum.places(shape), sum.lost(shape))
		}
	}
}

// profiles are arguments that cost differently.
var profiles = map[string]string{
	"own shapes": "",
	"8 shapes":   `{"shapes":[` + strings.Repeat(`{"cpu":8,"memory":"32Gi","numa":"single-cell","cpuPolicy":"dedicated"},{"cpu":4,"memory":"16Gi"},`, 3) + `{"cpu":2,"memory":"4Gi"},{"cpu":2,"memory":"2Gi"}]}`,
	"dedicated":  `{"shapes":[{"cpu":2,"memory":"2Gi","cpuPolicy":"dedicated"}]}`,
}

func TestAHostIsScoredWithoutAllocation(t *testing.T) {
	hv := described("a", 2)
	for name, args := range profiles {
		t.Run(name, func(t *testing.T) {
			p, cs, node := hosts(t, args, hv), framework.NewCycleState(), node(hv, vm("x", singleCell, on("a", in(0, 1, 4*gib))))
			vm := vm("vm", singleCell)
			p.PreScore(t.Context(), cs, vm, nil)
			// The account of the host is counted first.
			if allocated := testing.AllocsPerRun(100, func() { _, _ = p.Score(t.Context(), cs, vm, node) }); allocated > 0 {
				t.Errorf("%v allocations", allocated)
			}
		})
	}
}

func BenchmarkScore5000Hosts(b *testing.B) {
	for name, args := range profiles {
		b.Run(name, func(b *testing.B) {
			var all []*v1alpha1.Hypervisor
			var nodes []fwk.NodeInfo
			for i := range 5000 {
				hv := described(fmt.Sprintf("host-%04d", i), 2)
				all = append(all, hv)
				nodes = append(nodes, node(hv, vm("x", singleCell, on(hv.Name, in(0, 1, 4*gib))), vm("y", on(hv.Name))))
			}
			p, cs, vm := hosts(b, args, all...), framework.NewCycleState(), vm("vm", singleCell)
			p.PreScore(b.Context(), cs, vm, nodes)
			score := func() {
				for _, node := range nodes {
					if _, status := p.Score(b.Context(), cs, vm, node); !status.IsSuccess() {
						b.Fatal(status)
					}
				}
			}
			score() // the hosts' accounts are counted once
			b.ReportAllocs()
			for b.Loop() {
				score()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(nodes)), "ns/host")
		})
	}
}
