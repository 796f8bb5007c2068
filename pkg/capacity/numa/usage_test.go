package numa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func TestUsage(t *testing.T) {
	host := func() *v1alpha1.HypervisorStatus {
		return report("2", cell(0, "0-3", 8*gib, siblings("0,2", "1,3"), pages(v1alpha1.PageSize2Mi, 512)), cell(1, "4-7", 8*gib, pages(v1alpha1.PageSize1Gi, 4)))
	}
	type left struct {
		Free  capacity.Resources
		Taken []string
	}
	all := capacity.Resources{CPU: 16, Memory: 11 * gib, Hugepages2Mi: gib, Hugepages1Gi: 4 * gib}
	for name, test := range map[string]struct {
		placed v1alpha1.Placement
		want   left
	}{
		"a VM without cells takes from the totals": {
			v1alpha1.Placement{Granted: v1alpha1.GrantedResources{CPU: 3, Memory: gib, Overhead: mib}},
			left{all.Sub(capacity.Resources{CPU: 3, Memory: gib + mib}), []string{"", ""}},
		},
		"hugepages, with ordinary overhead": {
			v1alpha1.Placement{Granted: v1alpha1.GrantedResources{CPU: 3, Memory: gib, Overhead: mib, PageSize: v1alpha1.PageSize1Gi}, Cells: []v1alpha1.PlacedCell{{ID: 1, CPU: 3, Memory: gib}}},
			left{all.Sub(capacity.Resources{CPU: 3, Memory: mib, Hugepages1Gi: gib}), []string{"", ""}},
		},
		"a pinned CPU takes what it would offer, and so does an idle one": {
			placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0", Idle: "2"}),
			left{all.Sub(capacity.Resources{CPU: 4, Memory: gib}), []string{"0,2", ""}},
		},
		"vCPUs beside pinned ones are shared": {
			placed(3, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0"}),
			left{all.Sub(capacity.Resources{CPU: 4, Memory: gib}), []string{"0", ""}},
		},
		"what lies in a cell that is gone floats": {
			placed(2, gib, v1alpha1.PlacedCell{ID: 7, CPU: 2, Memory: gib}),
			left{all.Sub(capacity.Resources{CPU: 2, Memory: gib}), []string{"", ""}},
		},
		"a vCPU pinned to a CPU that is gone is shared": {
			placed(2, gib, v1alpha1.PlacedCell{ID: 1, CPU: 2, CPUs: "7-8"}),
			left{all.Sub(capacity.Resources{CPU: 3, Memory: gib}), []string{"", "7"}},
		},
		"a CPU that has moved is taken where it is": {
			placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "4"}),
			left{all.Sub(capacity.Resources{CPU: 2, Memory: gib}), []string{"", "4"}},
		},
		"cells that hold more than was granted count in full": {
			placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 2, Memory: 2 * gib}),
			left{all.Sub(capacity.Resources{CPU: 2, Memory: 2 * gib}), []string{"", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, host())
			empty := u.Clone()
			if err := u.Add(&test.placed); err != nil {
				t.Fatal(err)
			}
			got := left{u.Free(), []string{u.Taken(0).String(), u.Taken(1).String()}}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if u.Equal(empty) {
				t.Error("nothing has changed")
			}
			if err := u.Remove(&test.placed); err != nil {
				t.Fatal(err)
			}
			if !u.Equal(empty) {
				t.Error("removing does not undo adding")
			}
		})
	}
}

func TestACPUGivenAwayTwiceIsFreeWhenBothVMsAreGone(t *testing.T) {
	one := placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0", Idle: "4"})
	two := placed(2, gib, v1alpha1.PlacedCell{ID: 0, CPU: 2, CPUs: "0,4"})
	u := usageOf(t, threads(), one, two)
	for _, step := range []struct {
		remove *v1alpha1.Placement
		want   string
		free   int64
	}{{nil, "0,4", 6}, {&one, "0,4", 6}, {&two, "", 8}} {
		if step.remove != nil {
			if err := u.Remove(step.remove); err != nil {
				t.Fatal(err)
			}
		}
		if got, free := u.Taken(0).String(), u.Free().CPU; got != step.want || free != step.free {
			t.Errorf("CPUs %q are taken and %d free, want %q and %d", got, free, step.want, step.free)
		}
	}
}

func TestPlacementsThatCannotBeReadCountNothing(t *testing.T) {
	for name, test := range map[string]struct {
		placed v1alpha1.Placement
		want   string
	}{
		"cpus that are no list": {placed(2, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0"}, v1alpha1.PlacedCell{ID: 1, CPU: 1, CPUs: "5-"}), `cpus "5-" of cell 1`},
		"idle that is no list":  {placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0", Idle: "x"}), `idle "x" of cell 0`},
		"pages of another size": {v1alpha1.Placement{NodeName: "a", Granted: v1alpha1.GrantedResources{CPU: 1, Memory: gib, PageSize: "16Gi"}}, `on a: pages of "16Gi"`},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, threads())
			empty := u.Clone()
			if err := u.Add(&test.placed); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if !u.Equal(empty) {
				t.Error("something was counted")
			}
			if short := Admit(u, &test.placed); short == nil || !strings.Contains(short.String(), strings.TrimPrefix(test.want, "on a: ")) && !strings.Contains(short.String(), "NUMA cell 1") {
				t.Errorf("admitted: %v", short)
			}
		})
	}
}

func TestClonesAndHostsAreApart(t *testing.T) {
	u := usageOf(t, threads())
	c := u.Clone()
	p := placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0"})
	if err := c.Add(&p); err != nil {
		t.Fatal(err)
	}
	if u.Equal(c) || !u.Taken(0).IsEmpty() || c.Host() != u.Host() {
		t.Error("a clone shares what it counts")
	}
	if usageOf(t, gpus(), given("03")).Equal(usageOf(t, gpus(), given("3b"))) {
		t.Error("accounts of different devices are equal")
	}
}

func TestRequestOf(t *testing.T) {
	spec := &v1alpha1.VirtualMachineSpec{Resources: v1alpha1.VirtualMachineResources{
		CPU: 2, Hugepages: &v1alpha1.Hugepages{PageSize: v1alpha1.PageSize2Mi},
		NUMA: v1alpha1.NUMASpread, CPUPolicy: v1alpha1.CPUDedicated, Threads: v1alpha1.ThreadsApart,
		Devices: []v1alpha1.DeviceRequest{{Name: "gpu", Count: 1}},
	}}
	spec.Resources.Memory.Set(4 * gib)
	got := RequestOf(spec)
	want := Request{Granted: capacity.Desired(spec), NUMA: v1alpha1.NUMASpread, CPUPolicy: v1alpha1.CPUDedicated, Threads: v1alpha1.ThreadsApart, Devices: spec.Resources.Devices}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	cells := []v1alpha1.PlacedCell{{ID: 1, CPU: 2, Memory: 4 * gib}}
	devices := given("03").Devices
	if diff := cmp.Diff(v1alpha1.Placement{NodeName: "a", Granted: capacity.Desired(spec), Cells: cells, Devices: devices}, got.Placement("a", Assignment{Cells: cells, Devices: devices})); diff != "" {
		t.Errorf("placement (-want +got):\n%s", diff)
	}
}
