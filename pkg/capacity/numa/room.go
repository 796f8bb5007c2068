package numa

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Room is how many VMs of the shape, and at most how many of them, Choose would
// place on the host of u one after another. It does not allocate. Shapes that
// float or are in a single cell are counted and take no time for each VM, except
// for devices near no cell and for threads apart: these are tried out, as shapes
// in several cells are.
func Room(u *Usage, shape *Request, most int64) int64 {
	if n, counted := counts(u, shape, most); counted {
		return n
	}
	d := newDraft(u)
	defer d.release()
	return d.fill(shape, most)
}

// RoomAfter is the Room that is left once first lies where Choose puts it; 0
// where it has no place. It does not allocate.
func RoomAfter(u *Usage, first, shape *Request, most int64) int64 {
	d := newDraft(u)
	defer d.release()
	if !d.place(first) {
		return 0
	}
	if n, counted := counts(&d.Usage, shape, most); counted {
		return n
	}
	return d.fill(shape, most)
}

// fill places VMs of the shape as long as there is a place.
func (d *draft) fill(shape *Request, most int64) int64 {
	n := int64(0)
	for n < most && d.place(shape) {
		n++
	}
	return n
}

// counts is Room where it need not be tried out: where VMs of the shape take the
// same from the totals wherever they lie, and from one cell or none.
func counts(u *Usage, shape *Request, most int64) (n int64, counted bool) {
	if most <= 0 || !FitsTotals(u, shape) {
		return 0, true
	}
	cell := shape.NUMA == v1alpha1.NUMASingleCell
	if !cell && !shape.floats() || shape.apart() || cell && u.sharesDevices(shape) {
		return 0, false
	}
	n = min(most, u.timesTotals(shape))
	if !cell {
		return n, true
	}
	var s search
	s.start(u, shape)
	sum := int64(0)
	for i := range s.cells() {
		sum += s.times(i)
	}
	return min(n, sum), true
}

// sharesDevices says whether VMs in different cells may be given the same
// devices: those that are near no cell.
func (u *Usage) sharesDevices(r *Request) bool {
	for n := range r.Devices {
		if free := u.freeOf(r.Devices[n].Name); free[len(free)-1] > 0 {
			return true
		}
	}
	return false
}

// timesTotals is how many VMs the host's totals hold, of a shape of which they
// hold one.
func (u *Usage) timesTotals(r *Request) int64 {
	free, need := u.Free(), r.need()
	n := timesResources(free, need)
	if r.dedicated() {
		n = min(n, u.pinnable()/int64(r.Granted.CPU))
	}
	for k := range r.Devices {
		n = min(n, u.freeDevices(r.Devices[k].Name)/wanted(&r.Devices[k]))
	}
	return n
}

func timesResources(free, need capacity.Resources) int64 {
	n := int64(1) << 62
	for _, name := range hostResources {
		if one := need.Of(name); one > 0 {
			n = min(n, free.Of(name)/one)
		}
	}
	return n
}

// times is how many of the VM the cell at index i holds alone.
func (s *search) times(i int) int64 {
	n := min(s.rooms[i].vcpus/s.vcpus, s.rooms[i].memory/s.memory())
	for k := range s.devices {
		free := s.usage.freeOf(s.devices[k].Name)
		n = min(n, int64(free[i])/wanted(&s.devices[k]))
	}
	return n
}
