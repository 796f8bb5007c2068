package hostcompatibility

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/fleet"
)

// fleetOf is n hosts of one sort as the informer has them, with lists as long as
// those of a real one: 60 machine types, 100 CPU models, 200 CPU features.
func fleetOf(t testing.TB, n int) (*plugin, []fwk.NodeInfo) {
	names := func(format string, n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return slices.Sorted(slices.Values(out))
	}
	p, share := newPlugin(t, true), fleet.Share()
	var nodes []fwk.NodeInfo
	for i := range n {
		kind := v1alpha1.DomainType{
			Type: "kvm", Arch: "x86_64", Machines: names("pc-q35-%d.0", 60), CPUModels: names("Model-%d", 100),
			CPUFeatures: names("feature-%d", 200), Firmware: []string{"bios", "efi"}, SecureBoot: true,
		}
		name := fmt.Sprintf("host-%d", i)
		hv := with(hypervisor(name, kind), "gpu")
		if _, err := share(hv); err != nil {
			t.Fatal(err)
		}
		p.fleet.See(hv)
		nodes = append(nodes, node(name))
	}
	return p, nodes
}

const demanding = `{type: kvm, os: {type: {machine: pc-q35-42.0}, firmware: efi, loader: {secure: "yes"}},
  cpu: {model: {value: %s}, features: [{name: feature-7}, {name: feature-77}, {name: feature-177}]}}`

func TestAHostThatFitsCostsNoMemory(t *testing.T) {
	p, nodes := fleetOf(t, 1)
	pod := projected(t, fmt.Sprintf(demanding, "Model-50"), "gpu")
	cs := framework.NewCycleState()
	if _, status := p.PreFilter(t.Context(), cs, pod, nodes); !status.IsSuccess() {
		t.Fatal(status)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if status := p.Filter(ctx, cs, pod, nodes[0]); status != nil {
			t.Fatal(status)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFilter is one VM over 5,000 hosts.
func BenchmarkFilter(b *testing.B) {
	p, nodes := fleetOf(b, 5000)
	for name, pod := range map[string]*corev1.Pod{
		"all hosts fit":   projected(b, fmt.Sprintf(demanding, "Model-50"), "gpu"),
		"no host fits":    projected(b, fmt.Sprintf(demanding, "Foo"), "gpu"),
		"only the kind":   projected(b, "type: kvm"),
		"only the device": projected(b, "", "gpu"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cs := framework.NewCycleState()
				p.PreFilter(b.Context(), cs, pod, nodes)
				for _, n := range nodes {
					p.Filter(b.Context(), cs, pod, n)
				}
			}
		})
	}
}

func BenchmarkAlternatives(b *testing.B) {
	p, nodes := fleetOf(b, 5000)
	pod := projected(b, fmt.Sprintf(demanding, "Foo"), "gpu")
	for b.Loop() {
		Alternatives(p.fleet, pod, nodes)
	}
}
