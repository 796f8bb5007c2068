package numa

// draft is an account to try placements on. It keeps its memory for the next
// one, so that trying does not allocate.
type draft struct {
	Usage
	takers  []int32
	picked  picked
	devices []int
}

// drafts are those that nobody uses: as many as goroutines are likely to try at
// a time. Unlike a sync.Pool they are never dropped.
var drafts = make(chan *draft, 32)

// newDraft is a copy of u until it is released.
func newDraft(u *Usage) *draft {
	var d *draft
	select {
	case d = <-drafts:
	default:
		d = new(draft)
	}
	d.host, d.granted, d.taken = u.host, u.granted, u.taken
	d.cells = append(d.cells[:0], u.cells...)
	d.takers = d.takers[:0]
	for i := range u.cells {
		d.takers = append(d.takers, u.cells[i].takers...)
	}
	takers := d.takers
	for i := range d.cells {
		n := len(d.cells[i].takers)
		d.cells[i].takers, takers = takers[:n:n], takers[n:]
	}
	d.Usage.devices.takers = append(d.Usage.devices.takers[:0], u.devices.takers...)
	d.Usage.devices.free = append(d.Usage.devices.free[:0], u.devices.free...)
	return d
}

func (d *draft) release() {
	d.host = nil // a host that is gone must not be kept
	select {
	case drafts <- d:
	default:
	}
}

// place counts the request where Choose puts it, and says whether it has a
// place.
func (d *draft) place(r *Request) bool {
	u := &d.Usage
	if !FitsTotals(u, r) {
		return false
	}
	var cells division
	if !r.floats() {
		var s search
		s.start(u, r)
		if !s.divide(r.NUMA, &cells) {
			return false
		}
	}
	d.devices = u.pickDevices(r, cells.cells(), d.devices[:0])
	for _, i := range d.devices {
		u.takeDevice(i, 1)
	}
	memoryPool, _ := poolOf(r.Granted.PageSize)
	for i := range u.cells {
		if cells[i].vcpus == 0 {
			continue
		}
		u.cells[i].memory[memoryPool] += cells[i].memory
		if !r.dedicated() {
			u.cells[i].shared += cells[i].vcpus
			continue
		}
		d.picked = u.pick(i, cells[i].vcpus, r.apart(), picked{d.picked.pinned[:0], d.picked.idle[:0]})
		for _, at := range d.picked.pinned {
			u.takeCPU(i, at, 1)
		}
		for _, at := range d.picked.idle {
			u.takeCPU(i, at, 1)
		}
	}
	u.granted = u.granted.Add(r.need())
	return true
}
