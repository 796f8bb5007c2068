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

func TestFromHypervisor(t *testing.T) {
	status := &v1alpha1.HypervisorStatus{
		CPUOvercommit: "1500m",
		// 7 CPUs of 8 times 1.5, 1Gi reserved; more 2Mi pages than the cells have.
		Allocatable: v1alpha1.HostCapacity{CPU: 10, Memory: 13 * gib, Hugepages2Mi: 9 * gib, Hugepages1Gi: 4 * gib},
		Cells: []v1alpha1.Cell{
			cell(3, "1,3,5,7", 12*gib, siblings("1,5", "3,7"), pages(v1alpha1.PageSize1Gi, 4), distances(map[int32]int32{0: 31})),
			cell(0, "0,2,4,6", 7*gib, siblings("2,6"), pages(v1alpha1.PageSize2Mi, 512)),
		},
	}
	got, err := FromHypervisor(status)
	if err != nil {
		t.Fatal(err)
	}
	want := Host{
		Allocatable: capacity.Resources{CPU: 10, Memory: 13 * gib, Hugepages2Mi: gib, Hugepages1Gi: 4 * gib},
		Overcommit:  1500,
		Cells: []Cell{
			{ID: 0, CPUs: cpuset.New(0, 2, 4, 6), Cores: []cpuset.CPUSet{cpuset.New(0), cpuset.New(2, 6), cpuset.New(4)}, Memory: 6 * gib, Pages2Mi: 512},
			{ID: 3, CPUs: cpuset.New(1, 3, 5, 7), Cores: []cpuset.CPUSet{cpuset.New(1, 5), cpuset.New(3, 7)}, Memory: 8 * gib, Pages1Gi: 4},
		},
	}
	ignore := []cmp.Option{cmpopts.IgnoreUnexported(Host{}, Cell{}), cmp.Comparer(cpuset.CPUSet.Equals)}
	if diff := cmp.Diff(want, got, ignore...); diff != "" {
		t.Errorf("host (-want +got):\n%s", diff)
	}
	// What a cell does not say is ACPI's 10 and 20.
	matrix := []int32{got.Distance(0, 0), got.Distance(0, 1), got.Distance(1, 0), got.Distance(1, 1)}
	if diff := cmp.Diff([]int32{10, 20, 31, 10}, matrix); diff != "" {
		t.Errorf("distances (-want +got):\n%s", diff)
	}
}

func TestAHostMayReportNoCells(t *testing.T) {
	u := usageOf(t, &v1alpha1.HypervisorStatus{Allocatable: v1alpha1.HostCapacity{CPU: 4, Memory: 4 * gib}})
	if !Fits(u, request(4, 4*gib)) {
		t.Error("a floating VM does not fit")
	}
	for _, policy := range []func(*Request){singleCell, restricted, spread, dedicated} {
		if _, short := Choose(u, request(1, gib, policy)); short == nil || !strings.Contains(short.String(), "no NUMA cells") {
			t.Errorf("shortage %v", short)
		}
	}
}

func TestReportsThatContradictThemselves(t *testing.T) {
	ok := cell(0, "0-1", 4*gib)
	for name, test := range map[string]struct {
		status *v1alpha1.HypervisorStatus
		want   string
	}{
		"a ratio that is none":           {report("much", ok), `cpuOvercommit "much"`},
		"a ratio of nothing":             {report("0", ok), "more than 0"},
		"a ratio beyond counting":        {report("1e15", ok), "at most 1000000"},
		"more cells than a VM can name":  {report("1", equalCells(MaxCells+1, gib)...), "at most 64"},
		"a cell twice":                   {report("1", ok, cell(0, "2-3", gib)), "NUMA cell 0: it is reported twice"},
		"a CPU in two cells":             {report("1", ok, cell(1, "1-2", gib)), "CPU 1 is in cell 0 too"},
		"CPUs that are no list":          {report("1", cell(0, "0-", gib)), `cpus "0-"`},
		"siblings that are no list":      {report("1", cell(0, "0-1", gib, siblings("x"))), `siblings "x"`},
		"siblings of another cell":       {report("1", cell(0, "0-1", gib, siblings("1-2"))), `siblings "1-2"`},
		"siblings in two cores":          {report("1", cell(0, "0-2", gib, siblings("0-1", "1-2"))), `siblings "1-2"`},
		"siblings of nothing":            {report("1", cell(0, "0-2", gib, siblings(""))), `siblings ""`},
		"pools larger than the memory":   {report("1", cell(0, "0", gib, pages(v1alpha1.PageSize1Gi, 1), pages(v1alpha1.PageSize2Mi, 1))), "1 hugepages of 2Mi do not fit"},
		"pools beyond counting":          {report("1", cell(0, "0", gib, pages(v1alpha1.PageSize1Gi, 1<<40))), "do not fit"},
		"less than no pages":             {report("1", cell(0, "0", gib, pages(v1alpha1.PageSize2Mi, -1))), "-1 hugepages"},
		"hugepages of ordinary size":     {report("1", cell(0, "0", gib, pages("", 1))), `hugepages of ""`},
		"hugepages of a size not served": {report("1", cell(0, "0", gib, pages("16Gi", 1))), `hugepages of "16Gi"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := FromHypervisor(test.status); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
