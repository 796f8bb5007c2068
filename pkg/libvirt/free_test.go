package libvirt

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDomainsTakePagesWhereTheyAreBoundAndElseFromTheLowestCell(t *testing.T) {
	const mi, gi = int64(1) << 20, int64(1) << 30
	cells := []Cell{{ID: 0, Pages: Pages{Size2Mi: 512, Size1Gi: 2}}, {ID: 4, Pages: Pages{Size2Mi: 512}}}
	bound := func(cell int32, memory int64) Binding {
		return Binding{Cells: []BoundMemory{{Cell: cell, Memory: memory}}}
	}
	for name, c := range map[string]struct {
		domains []Domain
		want    []CellFree
	}{
		"nobody": {nil, []CellFree{{0, Pages{512, 2}}, {4, Pages{512, 0}}}},
		"a bound one": {
			[]Domain{{State: StateRunning, Memory: 256 * mi, PageSize: 2 * mi, Binding: bound(4, 256*mi)}},
			[]CellFree{{0, Pages{512, 2}}, {4, Pages{384, 0}}},
		},
		"one that floats, in the lowest cell": {
			[]Domain{{State: StatePaused, Memory: gi, PageSize: gi}},
			[]CellFree{{0, Pages{512, 1}}, {4, Pages{512, 0}}},
		},
		"one that floats gives way to a bound one": {
			[]Domain{
				{State: StateRunning, Memory: gi, PageSize: 2 * mi},
				{State: StateRunning, Memory: 512 * mi, PageSize: 2 * mi, Binding: bound(0, 512*mi)},
			},
			[]CellFree{{0, Pages{0, 2}}, {4, Pages{256, 0}}},
		},
		"one that does not run": {
			[]Domain{{State: StateShutOff, Memory: gi, PageSize: 2 * mi}},
			[]CellFree{{0, Pages{512, 2}}, {4, Pages{512, 0}}},
		},
		"one in ordinary memory": {
			[]Domain{{State: StateRunning, Memory: gi, Binding: bound(0, gi)}},
			[]CellFree{{0, Pages{512, 2}}, {4, Pages{512, 0}}},
		},
		"more than there is": {
			[]Domain{
				{State: StateRunning, Memory: 2 * gi, PageSize: 2 * mi, Binding: bound(0, 2*gi)},
				{State: StateRunning, Memory: 2 * gi, PageSize: 2 * mi, Binding: bound(9, 2*gi)},
			},
			[]CellFree{{0, Pages{0, 2}}, {4, Pages{0, 0}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, freePages(cells, c.domains)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
