package hostnuma

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// fleet5000 is 5,000 hosts of 4 cells with 10 VMs each, half of them on cells
// and two with CPUs to themselves.
func fleet5000(tb testing.TB, args string) (*plugin, []fwk.NodeInfo) {
	const hostCount = 5000
	var all []*v1alpha1.Hypervisor
	var nodes []fwk.NodeInfo
	for i := range hostCount {
		hv := described(fmt.Sprintf("host-%d", i), 4)
		all = append(all, hv)
		var pods []*corev1.Pod
		for j := range 10 {
			name := fmt.Sprintf("vm-%d-%d", i, j)
			change := []func(*v1alpha1.VirtualMachine){ordinary, sized(1, "64Mi"), uniquely(name)}
			switch {
			case j < 2:
				cell := int32(j)
				change = append(change, dedicated, on(hv.Name, one(cell, gib/16, fmt.Sprint(4*cell))))
			case j < 5:
				change = append(change, on(hv.Name, one(int32(j-2), gib/16, "")))
			default:
				change = append(change, numaPolicy(""), on(hv.Name))
			}
			pods = append(pods, projected(vm(name, change...)))
		}
		nodes = append(nodes, node(hv, pods...))
	}
	return hosts(tb, args, all...), nodes
}

func uniquely(name string) func(*v1alpha1.VirtualMachine) {
	return func(vm *v1alpha1.VirtualMachine) { vm.UID = types.UID(name) }
}

// shapes are VMs that wait, by what they want of cells.
var shapes = map[string]*v1alpha1.VirtualMachine{
	"single-cell":           vm("a", sized(2, "2Gi")),
	"single-cell dedicated": vm("b", sized(2, "2Gi"), dedicated),
	"restricted":            vm("c", sized(6, "6Gi"), numaPolicy(v1alpha1.NUMARestricted)),
	"spread":                vm("d", sized(4, "4Gi"), numaPolicy(v1alpha1.NUMASpread)),
}

// pass is Filter and Score of one host.
func pass(tb testing.TB, p *plugin, cs fwk.CycleState, scored bool, node fwk.NodeInfo) {
	if status := p.Filter(tb.Context(), cs, nil, node); !status.IsSuccess() {
		tb.Fatal(status)
	}
	if scored {
		if _, status := p.Score(tb.Context(), cs, nil, node); !status.IsSuccess() {
			tb.Fatal(status)
		}
	}
}

func ready(tb testing.TB, p *plugin, vm *v1alpha1.VirtualMachine) (cs fwk.CycleState, scored bool) {
	cs = framework.NewCycleState()
	if _, status := p.PreFilter(tb.Context(), cs, projected(vm), nil); !status.IsSuccess() {
		tb.Fatal(status)
	}
	return cs, p.PreScore(tb.Context(), cs, nil, nil).IsSuccess()
}

func TestHostsThatFitCostNoAllocation(t *testing.T) {
	p, nodes := fleet5000(t, `{"scoringStrategy":{"type":"MostAllocated"}}`)
	nodes = nodes[:100]
	for name, vm := range shapes {
		cs, scored := ready(t, p, vm)
		for _, node := range nodes {
			pass(t, p, cs, scored, node) // counts the host
		}
		if n := testing.AllocsPerRun(10, func() {
			for _, node := range nodes {
				pass(t, p, cs, scored, node)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations over %d hosts", name, n, len(nodes))
		}
	}
}

// BenchmarkFilterAndScore5000Hosts is one pass over all hosts; ns/op divided by
// 5,000 is one host's.
func BenchmarkFilterAndScore5000Hosts(b *testing.B) {
	p, nodes := fleet5000(b, `{"scoringStrategy":{"type":"MostAllocated"}}`)
	for name, vm := range shapes {
		b.Run(name, func(b *testing.B) {
			cs, scored := ready(b, p, vm)
			for _, node := range nodes {
				pass(b, p, cs, scored, node)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, node := range nodes {
					pass(b, p, cs, scored, node)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(nodes)), "ns/host")
		})
	}
}

// BenchmarkCountAHost is what it costs to count a host anew, as after each VM
// that is placed there.
func BenchmarkCountAHost(b *testing.B) {
	p, nodes := fleet5000(b, "")
	cs, _ := ready(b, p, shapes["single-cell"])
	node := nodes[0].(*framework.NodeInfo)
	b.ReportAllocs()
	for b.Loop() {
		node.Generation++
		pass(b, p, cs, false, node)
	}
}

// Of a host that turns a VM away there is its Status, which the scheduler
// writes on, and nothing else.
func TestHostsThatRejectCostOneAllocation(t *testing.T) {
	p, nodes := fleet5000(t, "")
	nodes = nodes[:100]
	for name, vm := range map[string]*v1alpha1.VirtualMachine{
		"full":      vm("full", sized(14, "2Gi"), numaPolicy(v1alpha1.NUMARestricted)),
		"too small": vm("large", sized(8, "2Gi")),
	} {
		cs, _ := ready(t, p, vm)
		reject := func() {
			for _, node := range nodes {
				if p.Filter(t.Context(), cs, nil, node).IsSuccess() {
					t.Fatalf("%s: %s takes it", name, node.Node().Name)
				}
			}
		}
		reject() // counts the hosts, and makes the words
		if n := testing.AllocsPerRun(10, reject); n > float64(len(nodes)) {
			t.Errorf("%s: %v allocations over %d hosts", name, n, len(nodes))
		}
	}
}
