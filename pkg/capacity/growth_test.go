package capacity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestWhatChangesLive(t *testing.T) {
	type granted = v1alpha1.GrantedResources
	with := func(change func(*granted)) granted {
		g := granted{CPU: 2, Memory: 4 << 30, Overhead: 1 << 28, MaxCPU: 4, MaxMemory: 8 << 30}
		change(&g)
		return g
	}
	as := func(*granted) {}
	size := func(cpu int32, gib int64) func(*granted) {
		return func(g *granted) { g.CPU, g.Memory = cpu, gib<<30 }
	}
	for name, c := range map[string]struct {
		cells           []v1alpha1.PlacedCell
		has, wants      func(*granted)
		grown, shrunk   func(*granted)
		cpuLive, memory bool
	}{
		"nothing":                    {has: as, wants: as, grown: as, shrunk: as, cpuLive: true, memory: true},
		"both grow":                  {has: as, wants: size(4, 8), grown: size(4, 8), shrunk: as, cpuLive: true, memory: true},
		"CPUs alone":                 {has: as, wants: size(3, 4), grown: size(3, 4), shrunk: as, cpuLive: true, memory: true},
		"more CPUs than it can":      {has: as, wants: size(5, 6), grown: size(2, 6), shrunk: as, memory: true},
		"more memory than it can":    {has: as, wants: size(3, 9), grown: size(3, 4), shrunk: as, cpuLive: true},
		"fewer CPUs":                 {has: as, wants: size(1, 4), grown: as, shrunk: as, memory: true},
		"less memory and more CPUs":  {has: as, wants: size(4, 1), grown: size(4, 4), shrunk: size(2, 1), cpuLive: true, memory: true},
		"another overhead":           {has: as, wants: func(g *granted) { g.Overhead, g.CPU = 1, 3 }, grown: size(3, 4), shrunk: as, cpuLive: true, memory: true},
		"a reach that is wider only": {has: as, wants: func(g *granted) { g.MaxCPU, g.CPU = 9, 6 }, grown: as, shrunk: as, memory: true},
		"no balloon wanted any more": {has: as, wants: func(g *granted) { g.MaxMemory, g.Memory = 0, 2<<30 }, grown: as, shrunk: as, cpuLive: true},
		"no balloon at all":          {has: func(g *granted) { g.MaxMemory = 0 }, wants: size(2, 5), grown: func(g *granted) { g.MaxMemory = 0 }, shrunk: func(g *granted) { g.MaxMemory = 0 }, cpuLive: true},
		"pages wanted":               {has: as, wants: func(g *granted) { g.PageSize, g.Memory = "2Mi", 6<<30 }, grown: as, shrunk: as, cpuLive: true},
		"in cells":                   {cells: []v1alpha1.PlacedCell{{CPU: 2, Memory: 4 << 30}}, has: as, wants: size(4, 8), grown: as, shrunk: as},
	} {
		t.Run(name, func(t *testing.T) {
			p, wants := &v1alpha1.Placement{Granted: with(c.has), Cells: c.cells}, with(c.wants)
			if diff := cmp.Diff(with(c.grown), Grown(p, wants)); diff != "" {
				t.Errorf("grown (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(with(c.shrunk), Shrunk(p, wants)); diff != "" {
				t.Errorf("shrunk (-want +got):\n%s", diff)
			}
			if cpu, memory := TakesEffectLive(p, wants); cpu != c.cpuLive || memory != c.memory {
				t.Errorf("live: CPUs %t, memory %t; want %t, %t", cpu, memory, c.cpuLive, c.memory)
			}
		})
	}
}

// QEMU is started for the most that the guest may come to have: growing must not
// need more of it.
func TestTheOverheadIsThatOfTheLargestGuest(t *testing.T) {
	spec := specOf(t, `{type: kvm, devices: {hostdevs: [{subsysPCI: {}}]}}`)
	most := resource.MustParse("64Gi")
	spec.Resources.MaxCPU, spec.Resources.MaxMemory = 32, &most
	small := Desired(spec)
	spec.Resources.CPU, spec.Resources.Memory = 32, most
	large := Desired(spec)
	if small.Overhead != large.Overhead || small.Overhead != ComputedOverhead(spec) {
		t.Errorf("overhead %d while small, %d while large, computed %d", small.Overhead, large.Overhead, ComputedOverhead(spec))
	}
	spec.Resources.MaxCPU, spec.Resources.MaxMemory = 0, nil
	if plain := Desired(spec); plain.Overhead != large.Overhead {
		t.Errorf("of a guest of that size that cannot grow: %d, want %d", plain.Overhead, large.Overhead)
	}
}
