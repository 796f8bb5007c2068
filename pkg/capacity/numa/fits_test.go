package numa

import (
	"fmt"
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// busy is a host of 8 cells with a VM in each, and with two gpus near each and
// one near none.
func busy(t testing.TB) *Usage {
	status := report("4", equalCells(8, 64*gib)...)
	for i := range int32(8) {
		status.Devices = append(status.Devices, device("gpu", fmt.Sprintf("%da", i), i), device("gpu", fmt.Sprintf("%db", i), i))
	}
	status.Devices = append(status.Devices, device("gpu", "ff", -1))
	u := usageOf(t, status)
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
		"none devices":           request(4, 8*gib, with("gpu", 2)),
		"single-cell devices":    request(4, 8*gib, singleCell, with("gpu", 2)),
		"restricted devices":     request(8, 8*gib, restricted, with("gpu", 6)),
		"single-cell no devices": request(4, 8*gib, singleCell, with("gpu", 4)),
	}
}

func TestQuestionsDoNotAllocate(t *testing.T) {
	u := busy(t)
	for name, r := range fitting() {
		t.Run(name, func(t *testing.T) {
			for question, ask := range map[string]func(){
				"Fits":       func() { Fits(u, r) },
				"FitsTotals": func() { FitsTotals(u, r) },
				"Lacks":      func() { Lacks(u, r) },
				"Quality":    func() { Quality(u, r) },
				"Room":       func() { Room(u, r, 1000) },
				"RoomAfter":  func() { RoomAfter(u, one, r, 1000) },
			} {
				if n := testing.AllocsPerRun(100, ask); n != 0 {
					t.Errorf("%s: %v allocations", question, n)
				}
			}
		})
	}
}

// one is a VM that comes first.
var one = request(2, 8*gib, singleCell, dedicated, with("gpu", 1))

func BenchmarkFits(b *testing.B) { measure(b, func(u *Usage, r *Request) { Fits(u, r) }) }

func BenchmarkChoose(b *testing.B) { measure(b, func(u *Usage, r *Request) { _, _ = Choose(u, r) }) }

func BenchmarkLacks(b *testing.B) { measure(b, func(u *Usage, r *Request) { Lacks(u, r) }) }

func BenchmarkRoom(b *testing.B) { measure(b, func(u *Usage, r *Request) { Room(u, r, 1000) }) }

func BenchmarkRoomAfter(b *testing.B) {
	measure(b, func(u *Usage, r *Request) { RoomAfter(u, one, r, 1000) })
}

func measure(b *testing.B, ask func(*Usage, *Request)) {
	u := busy(b)
	for name, r := range fitting() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask(u, r)
			}
		})
	}
}
