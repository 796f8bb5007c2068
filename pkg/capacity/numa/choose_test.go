package numa

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// chain is a host of four cells of 4 CPUs and 8Gi in a row: each is nearest to
// its neighbours.
func chain() *v1alpha1.HypervisorStatus {
	cells := equalCells(4, 8*gib)
	for i := range cells {
		to := map[int32]int32{}
		for j := range cells {
			if d := max(i-j, j-i); d > 0 {
				to[int32(j)] = int32(10 + 10*d)
			}
		}
		distances(to)(&cells[i])
		cells[i].Hugepages = nil
	}
	return report("1", cells...)
}

// threads is a cell of 4 cores with 2 threads: CPU n and n+4.
func threads() *v1alpha1.HypervisorStatus {
	return report("1", cell(0, "0-7", 16*gib, siblings("0,4", "1,5", "2,6", "3,7")))
}

func TestChoose(t *testing.T) {
	two := report("1", equalCells(2, 16*gib)...)
	type cells = []v1alpha1.PlacedCell
	for name, test := range map[string]struct {
		host    *v1alpha1.HypervisorStatus
		placed  []v1alpha1.Placement
		request *Request
		want    cells
	}{
		"without a policy nothing is bound": {two, nil, request(8, 16*gib), nil},
		"hugepages without a policy float":  {two, nil, request(2, 16*gib, in1Gi), nil},

		"equal cells: the lowest id":                   {two, nil, request(2, 4*gib, singleCell), cells{{ID: 0, CPU: 2, Memory: 4 * gib}}},
		"the cell where least memory is left":          {two, []v1alpha1.Placement{placed(1, 2*gib, v1alpha1.PlacedCell{ID: 1, CPU: 1, Memory: 2 * gib})}, request(2, 4*gib, singleCell), cells{{ID: 1, CPU: 2, Memory: 4 * gib}}},
		"equal memory: where least CPU is left":        {two, []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 1, CPU: 1})}, request(2, 4*gib, singleCell), cells{{ID: 1, CPU: 2, Memory: 4 * gib}}},
		"least left of the memory that is asked for":   {two, []v1alpha1.Placement{placed(1, 2*gib, v1alpha1.PlacedCell{ID: 1, CPU: 1, Memory: 2 * gib})}, request(2, 4*gib, singleCell, in1Gi), cells{{ID: 1, CPU: 2, Memory: 4 * gib}}},
		"a tight cell that is too full is passed over": {two, []v1alpha1.Placement{placed(3, 2*gib, v1alpha1.PlacedCell{ID: 1, CPU: 3, Memory: 2 * gib})}, request(2, 4*gib, singleCell), cells{{ID: 0, CPU: 2, Memory: 4 * gib}}},

		"restricted takes one cell if that is enough": {chain(), nil, request(4, 8*gib, restricted), cells{{ID: 0, CPU: 4, Memory: 8 * gib}}},
		"restricted takes neighbours":                 {chain(), []v1alpha1.Placement{placed(4, 0, v1alpha1.PlacedCell{ID: 1, CPU: 4})}, request(6, 6*gib, restricted), cells{{ID: 2, CPU: 3, Memory: 3 * gib}, {ID: 3, CPU: 3, Memory: 3 * gib}}},
		"of equally near sets the tightest":           {chain(), []v1alpha1.Placement{placed(1, gib, v1alpha1.PlacedCell{ID: 2, CPU: 1, Memory: gib}, v1alpha1.PlacedCell{ID: 3, Memory: 1})}, request(6, 6*gib, restricted), cells{{ID: 2, CPU: 3, Memory: 3 * gib}, {ID: 3, CPU: 3, Memory: 3 * gib}}},
		"near goes before tight":                      {chain(), []v1alpha1.Placement{placed(0, 2*gib, v1alpha1.PlacedCell{ID: 0, Memory: gib}, v1alpha1.PlacedCell{ID: 3, Memory: gib})}, request(6, 6*gib, restricted), cells{{ID: 0, CPU: 3, Memory: 3 * gib}, {ID: 1, CPU: 3, Memory: 3 * gib}}},
		"remainders go to the first cells":            {chain(), nil, request(7, 4*gib+mib+5, restricted), cells{{ID: 0, CPU: 4, Memory: 2*gib + mib}, {ID: 1, CPU: 3, Memory: 2*gib + 5}}},
		"pages are not split":                         {report("1", equalCells(3, 16*gib)...), nil, request(3, 10*gib, restricted, in1Gi), cells{{ID: 0, CPU: 2, Memory: 5 * gib}, {ID: 1, CPU: 1, Memory: 5 * gib}}},
		"remainders may decide which cells":           {chain(), []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 0, CPU: 1})}, request(7, gib, restricted), cells{{ID: 1, CPU: 4, Memory: gib / 2}, {ID: 2, CPU: 3, Memory: gib / 2}}},

		"spread takes all cells":                       {chain(), nil, request(8, 4*gib, spread), cells{{ID: 0, CPU: 2, Memory: gib}, {ID: 1, CPU: 2, Memory: gib}, {ID: 2, CPU: 2, Memory: gib}, {ID: 3, CPU: 2, Memory: gib}}},
		"spread has no cell without a vCPU":            {chain(), nil, request(2, 4*gib, spread), cells{{ID: 0, CPU: 1, Memory: 2 * gib}, {ID: 1, CPU: 1, Memory: 2 * gib}}},
		"spread has no cell without a page":            {report("1", equalCells(3, 16*gib)...), nil, request(3, 2*gib, spread, in1Gi), cells{{ID: 0, CPU: 2, Memory: gib}, {ID: 1, CPU: 1, Memory: gib}}},
		"spread leaves out cells that hold no share":   {chain(), []v1alpha1.Placement{placed(0, 8*gib, v1alpha1.PlacedCell{ID: 1, Memory: 8 * gib})}, request(6, 6*gib, spread), cells{{ID: 0, CPU: 2, Memory: 2 * gib}, {ID: 2, CPU: 2, Memory: 2 * gib}, {ID: 3, CPU: 2, Memory: 2 * gib}}},
		"spread is content with one cell":              {chain(), nil, request(1, 4*gib, spread), cells{{ID: 0, CPU: 1, Memory: 4 * gib}}},
		"dedicated CPUs fill cores":                    {threads(), nil, request(3, gib, singleCell, dedicated), cells{{ID: 0, CPU: 3, Memory: gib, CPUs: "0-1,4"}}},
		"a core begun by another is used for the odd":  {threads(), []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "2"})}, request(3, gib, singleCell, dedicated), cells{{ID: 0, CPU: 3, Memory: gib, CPUs: "0,4,6"}}},
		"whole cores go before those begun by another": {threads(), []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0"})}, request(2, gib, singleCell, dedicated), cells{{ID: 0, CPU: 2, Memory: gib, CPUs: "1,5"}}},
		"apart leaves siblings idle":                   {threads(), nil, request(2, gib, singleCell, apart), cells{{ID: 0, CPU: 2, Memory: gib, CPUs: "0-1", Idle: "4-5"}}},
		"apart passes over cores begun by another":     {threads(), []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "4"})}, request(2, gib, singleCell, apart), cells{{ID: 0, CPU: 2, Memory: gib, CPUs: "1-2", Idle: "5-6"}}},
		"idle siblings are not given away":             {threads(), []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0", Idle: "4"})}, request(6, gib, singleCell, dedicated), cells{{ID: 0, CPU: 6, Memory: gib, CPUs: "1-3,5-7"}}},
		"dedicated in several cells":                   {chain(), nil, request(6, 2*gib, restricted, dedicated), cells{{ID: 0, CPU: 3, Memory: gib, CPUs: "0-2"}, {ID: 1, CPU: 3, Memory: gib, CPUs: "4-6"}}},

		"dedicated without a policy: memory floats":      {chain(), nil, request(3, 20*gib, dedicated), cells{{ID: 0, CPU: 3, CPUs: "0-2"}}},
		"dedicated without a policy: the tightest cell":  {chain(), []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 2, CPU: 1, CPUs: "8"})}, request(3, gib, dedicated), cells{{ID: 2, CPU: 3, CPUs: "9-11"}}},
		"dedicated without a policy: large cells first":  {chain(), []v1alpha1.Placement{placed(1, 0, v1alpha1.PlacedCell{ID: 0, CPU: 1, CPUs: "0"})}, request(6, gib, dedicated), cells{{ID: 1, CPU: 4, CPUs: "4-7"}, {ID: 2, CPU: 2, CPUs: "8-9"}}},
		"floating vCPUs are no vCPUs of a cell":          {two, []v1alpha1.Placement{placed(4, gib)}, request(4, gib, singleCell), cells{{ID: 0, CPU: 4, Memory: gib}}},
		"floating memory is no memory of a cell":         {two, []v1alpha1.Placement{placed(1, 8*gib)}, request(1, 8*gib, singleCell), cells{{ID: 0, CPU: 1, Memory: 8 * gib}}},
		"dedicated CPUs leave room for the shared vCPUs": {two, []v1alpha1.Placement{placed(2, 0, v1alpha1.PlacedCell{ID: 0, CPU: 2})}, request(3, gib, singleCell, dedicated), cells{{ID: 1, CPU: 3, Memory: gib, CPUs: "4-6"}}},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, test.host, test.placed...)
			before := u.Clone()
			got, short := Choose(u, test.request)
			if short != nil {
				t.Fatalf("shortage: %s", short)
			}
			if diff := cmp.Diff(test.want, got.Cells); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
			if !u.Equal(before) {
				t.Error("choosing has changed the account")
			}
			if p := test.request.Placement("a", got); !Fits(u, test.request) || Admit(u, &p) != nil {
				t.Errorf("Fits or Admit disagrees: %v", Admit(u, &p))
			}
		})
	}
}

func TestLargeHostsAreSearchedByNearestNeighbours(t *testing.T) {
	// A ring of 16 cells, in which cell 5 is full.
	cells := equalCells(16, 8*gib)
	for i := range cells {
		to := map[int32]int32{}
		for j := range cells {
			if d := max(i-j, j-i); d > 0 {
				to[int32(j)] = int32(10 + min(d, 16-d))
			}
		}
		distances(to)(&cells[i])
		cells[i].Hugepages = nil
	}
	u := usageOf(t, report("1", cells...), placed(4, 0, v1alpha1.PlacedCell{ID: 5, CPU: 4}), placed(2, 0, v1alpha1.PlacedCell{ID: 7, CPU: 1}, v1alpha1.PlacedCell{ID: 8, CPU: 1}))
	got, short := Choose(u, request(9, 3*gib, restricted))
	if short != nil {
		t.Fatal(short)
	}
	want := []v1alpha1.PlacedCell{{ID: 6, CPU: 3, Memory: gib}, {ID: 7, CPU: 3, Memory: gib}, {ID: 8, CPU: 3, Memory: gib}}
	if diff := cmp.Diff(want, got.Cells); diff != "" {
		t.Errorf("three neighbours, the tightest (-want +got):\n%s", diff)
	}
	got, short = Choose(u, request(15, 15*gib, spread))
	if short != nil || len(got.Cells) != 15 {
		t.Errorf("spread over %v, shortage %v; want all 15 cells with a free CPU", got.Cells, short)
	}
	if _, short := Choose(u, request(64, gib, spread)); short == nil || short.String() != "need 64 vCPUs, 58 free" {
		t.Errorf("shortage %v", short)
	}
	if _, short := Choose(u, request(53, gib, spread)); short == nil || short.String() != "need 53 vCPUs split evenly over at most 16 cells, the largest that fits is 52" {
		t.Errorf("shortage %v", short)
	}
}
