package numa

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

func TestRoom(t *testing.T) {
	two := report("1", equalCells(2, 16*gib)...)
	unequal := report("1", cell(0, "0-3", 8*gib, siblings("0-1", "2-3")), cell(1, "4-5", 8*gib))
	unequal.Allocatable.CPU = 3
	const many = 1 << 40
	for name, test := range map[string]struct {
		host    *v1alpha1.HypervisorStatus
		placed  []v1alpha1.Placement
		shape   *Request
		most    int64
		want    int64
		after   *Request
		wantTwo int64
	}{
		"floating":                       {two, nil, request(1, 3*gib), many, 5, request(1, 2*gib), 4},
		"floating, of a large host":      {report("1000", cell(0, "0-3", 1<<40)), nil, request(1, 1), many, 4000, request(1000, 1), 3000},
		"no more than asked for":         {two, nil, request(1, gib), 3, 3, request(1, gib), 3},
		"single-cell leaves fragments":   {two, nil, request(1, 3*gib, singleCell), many, 4, request(1, 2*gib, singleCell), 4},
		"the first takes a cell's place": {two, nil, request(1, 3*gib, singleCell), many, 4, request(1, 3*gib, singleCell), 3},
		"hugepages beside ordinary":      {two, nil, request(1, 3*gib, singleCell, in1Gi), many, 4, request(1, 8*gib, singleCell), 4},
		"the totals limit cells":         {two, []v1alpha1.Placement{placed(1, 10*gib)}, request(1, 3*gib, singleCell), many, 2, request(1, 3*gib), 1},
		"dedicated CPUs":                 {two, nil, request(3, gib, singleCell, dedicated), many, 2, request(1, gib, singleCell, dedicated), 2},
		"dedicated beside shared vCPUs":  {two, nil, request(2, gib, singleCell, dedicated), many, 4, request(1, gib, singleCell), 3},
		"whole cores":                    {threads(), nil, request(1, gib, singleCell, apart), many, 4, request(2, gib, singleCell, dedicated), 3},
		"cores of unequal width":         {unequal, nil, request(1, gib, singleCell, apart), many, 2, request(1, gib), 1},
		"shared vCPUs beside cores":      {threads(), nil, request(1, gib, singleCell), many, 8, request(1, gib, singleCell, apart), 6},
		"devices near cells":             {gpus(), nil, request(1, gib, singleCell, with("nic", 1)), many, 1, request(1, gib, singleCell, with("nic", 1)), 0},
		"devices near none are shared":   {gpus(), nil, request(1, gib, singleCell, with("gpu", 2)), many, 2, request(1, gib, singleCell, with("gpu", 1)), 1},
		"devices wherever they are":      {gpus(), nil, request(1, gib, with("gpu", 2)), many, 2, request(1, gib, with("gpu", 1)), 1},
		"restricted":                     {two, nil, request(6, 2*gib, restricted), many, 1, request(1, gib, restricted), 1},
		"what does not fit":              {two, nil, request(9, gib), many, 0, request(1, gib), 0},
		"what is not understood":         {two, nil, request(0, gib), many, 0, request(1, gib), 0},
		"nothing is asked for":           {two, nil, request(1, gib), 0, 0, request(1, gib), 0},
		"a first that does not fit":      {two, nil, request(1, 16*gib), many, 1, request(9, gib), 0},
		"on a host that is overgranted":  {two, []v1alpha1.Placement{placed(9, 17*gib)}, request(1, gib), many, 0, request(1, gib), 0},
	} {
		t.Run(name, func(t *testing.T) {
			u := usageOf(t, test.host, test.placed...)
			before := u.Clone()
			if got := Room(u, test.shape, test.most); got != test.want {
				t.Errorf("room for %d, want %d", got, test.want)
			}
			if got := RoomAfter(u, test.after, test.shape, test.most); got != test.wantTwo {
				t.Errorf("room for %d after the first, want %d", got, test.wantTwo)
			}
			if !u.Equal(before) {
				t.Error("the account has changed")
			}
		})
	}
}

func TestFloatingAmountsAndLimits(t *testing.T) {
	u := usageOf(t, report("1", equalCells(2, 16*gib)...))
	empty := u.Clone()
	other := capacity.Resources{CPU: 3, Memory: 15 * gib, Hugepages1Gi: gib}
	u.AddFloating(other)
	want := capacity.Resources{CPU: 5, Memory: gib, Hugepages1Gi: 15 * gib}
	if diff := cmp.Diff(want, u.Free()); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
	if Fits(u, request(1, 2*gib, singleCell)) || !Fits(u, request(4, 8*gib, singleCell, in1Gi)) {
		t.Error("floating amounts are not counted in the totals alone")
	}
	u.AddFloating(capacity.Resources{}.Sub(other))
	if !u.Equal(empty) {
		t.Error("floating amounts are counted elsewhere too")
	}

	limited := u.Host().Limit(capacity.Resources{CPU: 2, Memory: 1 << 50, Hugepages1Gi: 3 * gib})
	if diff := cmp.Diff(capacity.Resources{CPU: 2, Memory: 16 * gib, Hugepages1Gi: 3 * gib}, limited.Allocatable); diff != "" {
		t.Errorf("limited (-want +got):\n%s", diff)
	}
	if u.Host().Allocatable.CPU != 8 || !Fits(NewUsage(&limited), request(2, 3*gib, singleCell, in1Gi)) || Fits(NewUsage(&limited), request(3, gib)) {
		t.Error("the host itself is limited, or its limit is not kept")
	}
}
