package numa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func foreign(use v1alpha1.ForeignUse) func(*v1alpha1.Cell) {
	return func(c *v1alpha1.Cell) { c.Foreign = &use }
}

func TestForeignUseIsTakenOutOfItsCell(t *testing.T) {
	status := report("1",
		cell(0, "0-3", 9*gib, pages(v1alpha1.PageSize2Mi, 512), pages(v1alpha1.PageSize1Gi, 4),
			foreign(v1alpha1.ForeignUse{CPUs: "2-5", Memory: gib, Hugepages2Mi: 12, Hugepages1Gi: 1})),
		cell(1, "4-7", 8*gib, foreign(v1alpha1.ForeignUse{Memory: 9 * gib, Hugepages1Gi: 1})))
	h, err := FromHypervisor(status)
	if err != nil {
		t.Fatal(err)
	}
	want := Host{
		Allocatable: capacity.Resources{CPU: 8, Memory: 3 * gib, Hugepages2Mi: 1000 * mib, Hugepages1Gi: 3 * gib},
		Overcommit:  1000,
		Cells: []Cell{
			{ID: 0, CPUs: cpuset.New(0, 1, 2, 3), Foreign: cpuset.New(2, 3), Memory: 3 * gib, Pages2Mi: 500, Pages1Gi: 3},
			{ID: 1, CPUs: cpuset.New(4, 5, 6, 7), Foreign: cpuset.New()}, // more is bound there than it has
		},
	}
	ignore := []cmp.Option{cmpopts.IgnoreUnexported(Host{}, Cell{}), cmpopts.IgnoreFields(Cell{}, "Cores"), cmp.Comparer(cpuset.CPUSet.Equals)}
	if diff := cmp.Diff(want, h, ignore...); diff != "" {
		t.Errorf("host (-want +got):\n%s", diff)
	}
	for want, use := range map[string]v1alpha1.ForeignUse{
		`cell 0: reading foreign cpus "1-"`:                      {CPUs: "1-"},
		"cell 0: foreign domains cannot use less than nothing: ": {Memory: -1},
		"Hugepages2Mi:-1": {Hugepages2Mi: -1},
		"Hugepages1Gi:-1": {Hugepages1Gi: -1},
	} {
		if _, err := FromHypervisor(report("1", cell(0, "0-3", gib, foreign(use)))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestForeignCPUsAreSharedAndNeverDedicated(t *testing.T) {
	// CPU n and n+4 are a core; a foreign domain is pinned to CPU 0.
	host := threads()
	foreign(v1alpha1.ForeignUse{CPUs: "0"})(&host.Cells[0])
	for name, test := range map[string]struct {
		placed  []v1alpha1.Placement
		request *Request
		want    string // CPUs, idle CPUs; or a shortage
	}{
		"shared vCPUs use them":                    {nil, request(8, gib, singleCell), " idle "},
		"together passes over them":                {nil, request(2, gib, singleCell, dedicated), "1,5 idle "},
		"their siblings are cores that are begun":  {nil, request(3, gib, singleCell, dedicated), "1,4-5 idle "},
		"all others can be dedicated":              {nil, request(7, gib, singleCell, dedicated), "1-7 idle "},
		"they cannot":                              {nil, request(8, gib, singleCell, dedicated), "need 8 dedicated CPUs in one cell, the largest free is 7"},
		"no sibling of theirs is kept idle":        {nil, request(3, gib, singleCell, apart), "1-3 idle 5-7"},
		"nor is a core of theirs a core of a VM":   {nil, request(4, gib, singleCell, apart), "need 4 dedicated CPUs on cores of their own in one cell, the largest free is 3"},
		"a shared vCPU keeps a CPU, theirs as any": {[]v1alpha1.Placement{placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1})}, request(7, gib, singleCell, dedicated), "1-7 idle "},
		"two keep one more":                        {[]v1alpha1.Placement{placed(2, gib, v1alpha1.PlacedCell{ID: 0, CPU: 2})}, request(7, gib, dedicated), "need 7 dedicated CPUs, 6 free"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if a, short := Choose(usageOf(t, host, test.placed...), test.request); short != nil {
				got = short.String()
			} else {
				got = a.Cells[0].CPUs + " idle " + a.Cells[0].Idle
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}

	pin := placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "4", Idle: "0"})
	u := usageOf(t, host)
	if short := Admit(u, &pin); short == nil || short.String() != "domains that Domus does not own are pinned to CPUs 0" {
		t.Errorf("admission says %v", short)
	}
	// A VM that was there before the foreign domain still takes the CPU.
	if err := u.Add(&pin); err != nil {
		t.Fatal(err)
	}
	if taken, free := u.Taken(0).String(), u.Free().CPU; taken != "0,4" || free != 6 {
		t.Errorf("CPUs %s are taken and %d vCPUs free", taken, free)
	}
	if !Fits(u, request(6, gib, singleCell, dedicated)) || Fits(u, request(7, gib, singleCell, dedicated)) {
		t.Error("6 CPUs are left to be dedicated")
	}
}
