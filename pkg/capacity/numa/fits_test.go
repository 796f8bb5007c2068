package numa

import (
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// busy is a host of 8 cells with a VM in each.
func busy(t testing.TB) *Usage {
	u := usageOf(t, report("4", equalCells(8, 64*gib)...))
	for i := range int32(8) {
		p := placed(2, 4*gib, v1alpha1.PlacedCell{ID: i, CPU: 2, Memory: 4 * gib})
		if err := u.Add(&p); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func fitting() map[string]*Request {
	return map[string]*Request{
		"none":                   request(4, 8*gib),
		"none dedicated":         request(4, 8*gib, dedicated),
		"single-cell":            request(4, 8*gib, singleCell),
		"single-cell hugepages":  request(4, 8*gib, singleCell, in1Gi),
		"single-cell apart":      request(3, 8*gib, singleCell, apart),
		"restricted":             request(40, 80*gib, restricted),
		"spread":                 request(8, 80*gib, spread),
		"single-cell too large":  request(4, 65*gib, singleCell),
		"restricted too large":   request(100, 250*gib, restricted),
		"hugepages of no policy": request(4, 8*gib, in1Gi),
	}
}

func TestFitsDoesNotAllocate(t *testing.T) {
	u := busy(t)
	for name, r := range fitting() {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, func() { Fits(u, r) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkFits(b *testing.B) {
	u := busy(b)
	for name, r := range fitting() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Fits(u, r)
			}
		})
	}
}

func BenchmarkChoose(b *testing.B) {
	u := busy(b)
	for name, r := range fitting() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Choose(u, r)
			}
		})
	}
}
