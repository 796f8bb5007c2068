package numa

import (
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/cpuset"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa/oracle"
)

// ask is the request as the oracle knows it.
func ask(r *Request) *oracle.Request {
	out := oracle.Request(*r)
	return &out
}

// drawRequest asks for something of the size of a cell or a few.
func drawRequest(t *rapid.T) *Request {
	out := Request(*oracle.DrawRequest(t))
	return &out
}

func set(list string) cpuset.CPUSet {
	s, err := cpuset.Parse(list)
	if err != nil {
		panic(err)
	}
	return s
}

// choose checks what Choose says against every set of cells there is.
func (w *world) choose(t *rapid.T, r *Request) (Assignment, bool) {
	before := w.usage.Clone()
	a, short := Choose(w.usage, r)
	again, _ := Choose(before, r)
	if diff := cmp.Diff(a, again); diff != "" {
		t.Fatalf("the same question has two answers:\n%s", diff)
	}
	if Fits(w.usage, r) != (short == nil) || !w.usage.Equal(before) {
		t.Fatalf("Fits disagrees with %v, or something was counted", short)
	}
	if short != nil && short.Reason == "" && short.Largest >= short.Need {
		t.Fatalf("not a shortage: %s", short)
	}
	if short == nil {
		checkSums(t, w.usage.Host(), r, a)
	}
	tally := oracle.New(w.status, w.placed)
	devices, enough := tally.Given(ask(r), a.Cells)
	if short == nil {
		if diff := cmp.Diff(devices, a.Devices); diff != "" {
			t.Fatalf("devices beside %+v (-want +got):\n%s", a.Cells, diff)
		}
	}
	w.checkLack(t, tally, r, a, short)
	switch {
	case !r.bindsMemory() && !r.Dedicated():
		if want := enough && tally.Takes(ask(r), &v1alpha1.Placement{Granted: r.Granted, Devices: devices}); want != (short == nil) {
			t.Fatalf("shortage %v, but it is %t that it fits", short, want)
		}
	case !r.bindsMemory():
		if want, known := tally.Pinnable(ask(r)); known && want != (short == nil) {
			t.Fatalf("shortage %v, but it is %t that it fits", short, want)
		}
	default:
		w.compare(t, tally, r, a, short)
	}
	return a, short == nil
}

// compare holds a choice of cells against all valid ones.
func (w *world) compare(t *rapid.T, tally *oracle.Tally, r *Request, a Assignment, short *Shortage) {
	exact := len(tally.Cells) <= exactCells
	valid := tally.Placements(ask(r))
	if short != nil {
		if exact && len(valid) > 0 {
			t.Fatalf("shortage %q, but there is %+v", short, valid[0])
		}
		if smaller := *r; short.BesideCPU > 0 && short.Device == "" && short.Largest > 0 && !r.apart() {
			smaller.Granted.Memory, smaller.Devices = short.Largest, nil
			if !Fits(w.usage, &smaller) {
				t.Fatalf("%q does not fit either", short)
			}
		}
		return
	}
	if len(valid) == 0 {
		t.Fatalf("%+v is not valid", a.Cells)
	}
	var got oracle.Found
	got.Cells = len(a.Cells)
	for _, c := range a.Cells {
		i := tally.Index(c.ID)
		got.Memory += tally.Free(i, r.Granted.PageSize)
		for _, d := range a.Cells {
			if j := tally.Index(d.ID); i != j {
				got.Distance += tally.Distance(i, j)
			}
		}
	}
	if !exact && (r.NUMA == v1alpha1.NUMASpread || got.Cells > 1) {
		return // the best is promised up to exactCells, and wherever it is one cell
	}
	for _, v := range valid {
		better := v.Cells < got.Cells
		if r.NUMA == v1alpha1.NUMASpread {
			better = v.Cells > got.Cells
		}
		same := v.Cells == got.Cells
		if better || same && (v.Distance < got.Distance || v.Distance == got.Distance && v.Memory < got.Memory) {
			t.Fatalf("%+v was chosen (%+v), but %+v is better", a.Cells, got, v)
		}
	}
}

// checkSums: an assignment holds what was asked for, no more and no less.
func checkSums(t *rapid.T, h *Host, r *Request, a Assignment) {
	var vcpus int32
	var memory int64
	last := int32(-1)
	for _, c := range a.Cells {
		vcpus, memory = vcpus+c.CPU, memory+c.Memory
		pins, idle := set(c.CPUs), set(c.Idle)
		if c.ID <= last || r.Dedicated() != (pins.Size() == int(c.CPU)) || !r.apart() && c.Idle != "" {
			t.Fatalf("cells are out of order or pinned wrongly: %+v", a.Cells)
		}
		last = c.ID
		if r.Granted.PageSize != "" && c.Memory%oracle.UnitOf(r.Granted.PageSize) != 0 {
			t.Fatalf("a page is split: %+v", a.Cells)
		}
		i, _ := h.index(c.ID)
		if r.apart() && !threadsAreApart(h.Cells[i].Cores, pins, idle) {
			t.Fatalf("threads are not apart: %+v", a.Cells)
		}
	}
	wantCPU, wantMemory := r.Granted.CPU, r.Granted.Memory
	if !r.bindsMemory() {
		wantMemory = 0
		if !r.Dedicated() {
			wantCPU = 0
		}
	}
	if vcpus != wantCPU || memory != wantMemory {
		t.Fatalf("%+v is not %d vCPUs and %d bytes", a.Cells, wantCPU, wantMemory)
	}
}

// threadsAreApart: of each core one thread is pinned and the others idle, or
// nothing is.
func threadsAreApart(cores []cpuset.CPUSet, pins, idle cpuset.CPUSet) bool {
	for _, core := range cores {
		p, i := core.Intersection(pins).Size(), core.Intersection(idle).Size()
		if (p != 0 || i != 0) && (p != 1 || i != core.Size()-1) {
			return false
		}
	}
	return true
}
