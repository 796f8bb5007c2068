package hostheadroom

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
)

// fleetOf is 5,000 hosts of so many CPUs with 10 VMs each, which take 22 to 25 of
// them. Every spareth host is empty.
func fleetOf(b *testing.B, f *fleet.Fleet, cpus int64, spare int, change ...func(*v1alpha1.VirtualMachine)) []fwk.NodeInfo {
	b.Helper()
	var nodes []fwk.NodeInfo
	for i := range 5000 {
		n := node(fmt.Sprintf("host-%04d", i))
		n.Node().Status.Allocatable[v1alpha1.ResourceCPU] = *resource.NewQuantity(cpus, resource.DecimalSI)
		n.SetNode(n.Node())
		describe(f, n, 2)
		for k := range 10 {
			if spare == 0 || i%spare != 0 {
				bind(b, f, n, newTestVM(fmt.Sprintf("vm-%d-%d", i, k), append(change, sized([]int32{1, 2, 4}[(i+k)%3], []int64{1, 2, 4}[(i*7+k)%3]))...))
			}
		}
		u, _ := f.Usage(framework.NewCycleState(), n)
		if left := u.Free().CPU; spare == 0 {
			bind(b, f, n, newTestVM(fmt.Sprintf("vm-%d-last", i), append(change, sized(int32(left), 1))...))
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// BenchmarkPreFilter5000Hosts is a scheduling cycle's share of the plugin that
// does not depend on the hosts it looks at: one VM has come and one has gone
// since the last.
func BenchmarkPreFilter5000Hosts(b *testing.B) {
	for name, test := range map[string]struct {
		cpus   int64
		spare  int
		change []func(*v1alpha1.VirtualMachine)
	}{
		"room everywhere":     {32, 10, nil},
		"room on a few hosts": {26, 500, nil},
		"no room":             {32, 0, nil},
		"single cells":        {32, 10, []func(*v1alpha1.VirtualMachine){singleCell}},
	} {
		b.Run(name, func(b *testing.B) {
			f := newFleet(b)
			nodes := fleetOf(b, f, test.cpus, test.spare, test.change...)
			p, vm := newPlugin(f, ""), newTestVM("vm", append(test.change, sized(2, 2))...)
			preFilter := func() {
				if _, status := p.PreFilter(b.Context(), framework.NewCycleState(), vm, nodes); !status.IsSuccess() {
					b.Fatal(status)
				}
			}
			preFilter()
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				n := nodes[(i*31+1)%len(nodes)].(*framework.NodeInfo)
				if pods := n.GetPods(); len(pods) > 0 {
					pod := pods[0].GetPod()
					if err := n.RemovePod(klog.Background(), pod); err != nil {
						b.Fatal(err)
					}
					if i%2 == 0 {
						n.AddPod(pod)
					}
				}
				i++
				b.StartTimer()
				preFilter()
			}
			b.ReportMetric(float64(p.planner.homeless), "homeless")
			b.ReportMetric(float64(len(p.planner.spare)), "spare")
		})
	}
}

// BenchmarkFirstPlan5000Hosts is what the first VM after a start waits for.
func BenchmarkFirstPlan5000Hosts(b *testing.B) {
	for name, test := range map[string]struct {
		cpus  int64
		spare int
	}{"room everywhere": {32, 10}, "room on a few hosts": {26, 500}, "no room": {32, 0}} {
		b.Run(name, func(b *testing.B) {
			f := newFleet(b)
			nodes, vm := fleetOf(b, f, test.cpus, test.spare), newTestVM("vm")
			for b.Loop() {
				if _, status := newPlugin(f, "").PreFilter(b.Context(), framework.NewCycleState(), vm, nodes); !status.IsSuccess() {
					b.Fatal(status)
				}
			}
		})
	}
}

func BenchmarkFilter(b *testing.B) {
	f := newFleet(b)
	nodes := fleetOf(b, f, 32, 10)
	p, cs, vm := newPlugin(f, ""), framework.NewCycleState(), newTestVM("vm", sized(2, 2))
	if _, status := p.PreFilter(b.Context(), cs, vm, nodes); !status.IsSuccess() {
		b.Fatal(status)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		p.Filter(b.Context(), cs, vm, nodes[i%len(nodes)])
		i++
	}
}

// BenchmarkReplan5000Hosts is what a VM costs in addition that no host would
// take under the plans as they are.
func BenchmarkReplan5000Hosts(b *testing.B) {
	f := newFleet(b)
	nodes, p := fleetOf(b, f, 26, 500), newPlugin(f, "")
	if _, status := p.PreFilter(b.Context(), framework.NewCycleState(), newTestVM("vm"), nodes); !status.IsSuccess() {
		b.Fatal(status)
	}
	for b.Loop() {
		p.planner.version++
		p.planner.replan()
	}
}
