package numa

import (
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa/oracle"
)

// checkLack holds what is said in short about a request against the choice, and
// for one cell against a look at each cell alone.
func (w *world) checkLack(t *rapid.T, tally *oracle.Tally, r *Request, a Assignment, short *Shortage) {
	lack, lacks := Lacks(w.usage, r)
	if lacks != (short != nil) || lacks == (lack == Lack{}) {
		t.Fatalf("shortage %v, but lack %+v (%t)", short, lack, lacks)
	}
	if n := cellsOf(w.usage, r); r.bindsMemory() && n != len(a.Cells) {
		t.Fatalf("%d cells for %+v", n, a.Cells)
	}
	totals := FitsTotals(w.usage, r)
	if !totals && short == nil {
		t.Fatal("what does not fit the totals has a place")
	}
	if short == nil {
		return
	}
	if (lack.Extent == ExtentHost) == totals && !r.Dedicated() || lack.Reason(r) == "" {
		t.Fatalf("lack %+v, but it is %t that the totals suffice", lack, totals)
	}
	if short.Resource != lack.Resource || short.Device != lack.Device || short.Extent != lack.Extent {
		t.Fatalf("lack %+v, but shortage %q", lack, short)
	}
	checkTotals(t, w.usage, r, lack, short)
	if totals && r.NUMA == v1alpha1.NUMASingleCell && !r.apart() {
		if want := lackOfOneCell(tally, r); lack.Resource != want.Resource || lack.Beside != want.Beside && lack.Device == "" {
			t.Fatalf("lack %+v, want %+v", lack, want)
		}
	}
	if totals && r.bindsMemory() && len(tally.Cells) <= exactCells {
		if want := missing(tally, r); lack.Device != want {
			t.Fatalf("lack %+v, but it is %q that is missing", lack, want)
		}
	}
}

// checkTotals holds the shortage against its own lack, and against what is said
// of the host's totals: it is one of these if they do not suffice.
func checkTotals(t *rapid.T, u *Usage, r *Request, lack Lack, short *Shortage) {
	if short.Reason == "" && short.Lack() != lack {
		t.Fatalf("lack %+v, but that of shortage %q is %+v", lack, short, short.Lack())
	}
	lacks, shorts := LacksOfTotals(u, r), ShortagesOfTotals(u, r)
	if FitsTotals(u, r) != (len(lacks.All()) == 0) || len(shorts) != len(lacks.All()) {
		t.Fatalf("lacks of totals %+v, shortages %v", lacks, shorts)
	}
	for i, l := range lacks.All() {
		if i == 0 && l != lack {
			t.Fatalf("lack %+v, but the first of the totals is %+v", lack, l)
		}
		if l != shorts[i].Lack() || shorts[i].Largest >= shorts[i].Need {
			t.Fatalf("lack of totals %+v, shortage %+v", l, shorts[i])
		}
	}
}

// missing is the first device without which there are cells, or nothing when
// there are none without any.
func missing(t *oracle.Tally, r *Request) string {
	for n := range len(r.Devices) + 1 {
		some := *r
		some.Devices = r.Devices[:n]
		if len(t.Placements(ask(&some))) > 0 {
			continue
		}
		if n == 0 {
			return ""
		}
		return r.Devices[n-1].Name
	}
	panic("nothing is missing")
}

// lackOfOneCell looks for what no cell has: CPUs, memory, or both together. It
// is empty when one has both.
func lackOfOneCell(t *oracle.Tally, r *Request) Lack {
	var anyCPU, anyMemory, both bool
	tiny := *r
	tiny.Devices, tiny.Granted.Memory, tiny.Granted.Overhead = nil, 0, 0
	for i := range t.Cells {
		p := v1alpha1.Placement{Granted: tiny.Granted, Cells: []v1alpha1.PlacedCell{{ID: t.Cells[i].ID, CPU: r.Granted.CPU}}}
		cpu := t.Takes(ask(&tiny), &p)
		memory := t.Free(i, r.Granted.PageSize) >= r.Granted.Memory
		anyCPU, anyMemory, both = anyCPU || cpu, anyMemory || memory, both || cpu && memory
	}
	memory := map[v1alpha1.PageSize]Lack{"": {Resource: v1alpha1.ResourceMemory}, v1alpha1.PageSize2Mi: {Resource: v1alpha1.ResourceHugepages2Mi}, v1alpha1.PageSize1Gi: {Resource: v1alpha1.ResourceHugepages1Gi}}[r.Granted.PageSize]
	switch {
	case !anyCPU:
		return Lack{Resource: v1alpha1.ResourceCPU}
	case !anyMemory:
		return memory
	case !both:
		memory.Beside = true
		return memory
	}
	return Lack{}
}

// room places one VM after another and counts them.
func (w *world) room(t *rapid.T) {
	first, shape := drawRequest(t), drawRequest(t)
	shape.Granted.CPU = min(shape.Granted.CPU, 3)
	most := rapid.Int64Range(0, 12).Draw(t, "at most")
	before := w.usage.Clone()
	if got, want := Room(w.usage, shape, most), oneByOne(t, w.usage.Clone(), shape, most); got != want {
		t.Fatalf("room for %d of %+v, but %d can be placed", got, shape, want)
	}
	want, u := int64(0), w.usage.Clone()
	if oneByOne(t, u, first, 1) == 1 {
		want = oneByOne(t, u, shape, most)
	}
	if got := RoomAfter(w.usage, first, shape, most); got != want {
		t.Fatalf("room for %d of %+v after %+v, but %d can be placed", got, shape, first, want)
	}
	if !w.usage.Equal(before) {
		t.Fatal("looking for room has changed the account")
	}
}

func oneByOne(t *rapid.T, u *Usage, r *Request, most int64) (n int64) {
	for ; n < most; n++ {
		a, short := Choose(u, r)
		if short != nil {
			break
		}
		p := r.Placement("a", a)
		if err := u.Add(&p); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// cellsOf is over how many cells guest memory would lie.
func cellsOf(u *Usage, r *Request) int {
	cells, _ := Quality(u, r)
	return cells
}
