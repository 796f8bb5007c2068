package numa

import (
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/cpuset"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
)

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
	oracle := tallyOf(w.status, w.placed)
	devices, enough := oracle.given(r, a.Cells)
	if short == nil {
		if diff := cmp.Diff(devices, a.Devices); diff != "" {
			t.Fatalf("devices beside %+v (-want +got):\n%s", a.Cells, diff)
		}
	}
	w.checkLack(t, oracle, r, a, short)
	switch {
	case !r.bindsMemory() && !r.dedicated():
		if want := enough && oracle.takes(r, &v1alpha1.Placement{Granted: r.Granted, Devices: devices}); want != (short == nil) {
			t.Fatalf("shortage %v, but it is %t that it fits", short, want)
		}
	case !r.bindsMemory():
		if want, known := oracle.pinnable(r); known && want != (short == nil) {
			t.Fatalf("shortage %v, but it is %t that it fits", short, want)
		}
	default:
		w.compare(t, oracle, r, a, short)
	}
	return a, short == nil
}

// compare holds a choice of cells against all valid ones.
func (w *world) compare(t *rapid.T, oracle *tally, r *Request, a Assignment, short *Shortage) {
	exact := len(oracle.cells) <= exactCells
	valid := oracle.placements(r)
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
	var got found
	got.k = len(a.Cells)
	for _, c := range a.Cells {
		i := oracle.index(c.ID)
		got.memory += memoryIn(&oracle.cells[i], r.Granted.PageSize) - oracle.bound[i][r.Granted.PageSize]
		for _, d := range a.Cells {
			if j := oracle.index(d.ID); i != j {
				got.distance += oracle.distance(i, j)
			}
		}
	}
	if !exact && (r.NUMA == v1alpha1.NUMASpread || got.k > 1) {
		return // the best is promised up to exactCells, and wherever it is one cell
	}
	for _, v := range valid {
		better := v.k < got.k
		if r.NUMA == v1alpha1.NUMASpread {
			better = v.k > got.k
		}
		same := v.k == got.k
		if better || same && (v.distance < got.distance || v.distance == got.distance && v.memory < got.memory) {
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
		if c.ID <= last || r.dedicated() != (pins.Size() == int(c.CPU)) || !r.apart() && c.Idle != "" {
			t.Fatalf("cells are out of order or pinned wrongly: %+v", a.Cells)
		}
		last = c.ID
		if r.Granted.PageSize != "" && c.Memory%unitOf(r.Granted.PageSize) != 0 {
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
		if !r.dedicated() {
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
