package numa

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func TestInCell(t *testing.T) {
	host := report("2", cell(0, "0-3", 8*gib, siblings("0,2", "1,3"), pages(v1alpha1.PageSize2Mi, 512)), cell(1, "4-7", 8*gib, pages(v1alpha1.PageSize1Gi, 4)))
	huge := v1alpha1.Placement{
		Granted: v1alpha1.GrantedResources{CPU: 3, Memory: 2 * gib, Overhead: mib, PageSize: v1alpha1.PageSize1Gi},
		Cells:   []v1alpha1.PlacedCell{{ID: 1, CPU: 3, Memory: 2 * gib}},
	}
	u := usageOf(t, host, placed(1, gib, v1alpha1.PlacedCell{ID: 0, CPU: 1, Memory: gib, CPUs: "0", Idle: "2"}), huge, placed(2, gib))
	got := []InCell{u.InCell(0), u.InCell(1)}
	want := []InCell{
		{Dedicated: 2, Memory: capacity.Resources{Memory: gib}},
		{Shared: 3, Memory: capacity.Resources{Hugepages1Gi: 2 * gib}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in the cells (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(capacity.Resources{Memory: 7 * gib, Hugepages2Mi: gib}, u.Host().Cells[0].Bytes()); diff != "" {
		t.Errorf("of cell 0 (-want +got):\n%s", diff)
	}
}
