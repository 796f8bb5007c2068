package numa

import (
	"math/bits"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// exactCells is the largest number of cells of a host over whose sets the
// search is exhaustive: 255 sets.
const exactCells = 8

// search is one look for a set of cells. It lives on the caller's stack.
type search struct {
	usage *Usage
	split
	apart bool
	// devices must be near the cells, or near none.
	devices []v1alpha1.DeviceRequest
	// pinnable is how many CPUs of the host may still be pinned or kept idle;
	// it limits only apart, whose idle CPUs depend on the cells.
	pinnable int64
	// rooms is what each cell could hold of this VM.
	rooms [MaxCells]room
}

// room is what a cell has left for one VM: vCPUs of its policy, and bytes of
// its kind of memory. Neither is negative.
type room struct{ vcpus, memory int64 }

// cellSet is a set of indexes of Host.Cells, one bit each.
type cellSet uint64

// start looks at the cells. Without a NUMA policy memory floats, and only the
// CPUs of cells are looked at.
func (s *search) start(u *Usage, r *Request) {
	p, _ := poolOf(r.Granted.PageSize)
	memory := r.Granted.Memory
	if !r.bindsMemory() {
		memory = 0
	} else {
		s.devices = r.Devices
	}
	s.usage, s.apart, s.pinnable = u, r.apart(), u.pinnable()
	s.split = newSplit(int64(r.Granted.CPU), memory, p)
	for i := range u.cells {
		c, used, have := &u.host.Cells[i], &u.cells[i], &s.rooms[i]
		if r.dedicated() {
			have.vcpus = u.dedicatedRoom(i, s.apart)
		} else {
			have.vcpus = max(u.sharedLeft(i), 0)
		}
		if memory > 0 {
			have.memory = max(c.memory(p)-used.memory[p], 0)
		}
	}
}

// cells is the number of cells of the host.
func (s *search) cells() int { return len(s.usage.cells) }

// most is the largest number of cells over which the guest can be split.
func (s *search) most() int { return int(min(s.parts(), int64(s.cells()))) }

// holds says whether the cell at index i has room for this much.
func (s *search) holds(i int, vcpus, memory int64) bool {
	return vcpus <= s.rooms[i].vcpus && memory <= s.rooms[i].memory
}

// valid says whether the k cells of set hold their shares.
func (s *search) valid(set cellSet, k int) bool {
	taken := int64(0)
	for rest, j := set, 0; rest != 0; rest, j = rest&(rest-1), j+1 {
		i := rest.first()
		vcpus, memory := s.share(j, k)
		if !s.holds(i, vcpus, memory) {
			return false
		}
		if s.apart {
			taken += s.usage.takes(i, vcpus, true)
		}
	}
	return taken <= s.pinnable && (len(s.devices) == 0 || s.holdsDevices(set))
}

// best finds the best set of k cells that hold the guest: exactly for one cell
// and on hosts of up to exactCells cells, by nearest neighbours on larger ones.
func (s *search) best(k int) (cellSet, bool) {
	switch {
	case k == 1:
		return s.single()
	case s.cells() <= exactCells:
		return s.exact(k)
	}
	return s.nearest(k)
}

func (s *search) single() (cellSet, bool) {
	var best candidate
	for i := range s.cells() {
		if set := cellSet(1) << i; s.valid(set, 1) {
			best.improve(s.weigh(set))
		}
	}
	return best.set, best.set != 0
}

func (s *search) exact(k int) (cellSet, bool) {
	var best candidate
	for set := cellSet(1); set < 1<<s.cells(); set++ {
		if bits.OnesCount64(uint64(set)) == k && s.valid(set, k) {
			best.improve(s.weigh(set))
		}
	}
	return best.set, best.set != 0
}

// nearest grows a set from each cell in turn: the cell nearest to those chosen
// is added, where equally near the tighter one, until there are k; and the best
// set of these is chosen. Every cell must hold the largest share, so a guest
// that fits only with the smaller shares in the right cells is not placed.
func (s *search) nearest(k int) (cellSet, bool) {
	vcpus, memory := s.largest(k)
	var able cellSet
	for i := range s.cells() {
		if s.holds(i, vcpus, memory) {
			able |= 1 << i
		}
	}
	if bits.OnesCount64(uint64(able)) < k {
		return 0, false
	}
	var best candidate
	for seeds := able; seeds != 0; seeds &= seeds - 1 {
		if set := s.grow(seeds.first(), able, k); s.valid(set, k) {
			best.improve(s.weigh(set))
		}
	}
	return best.set, best.set != 0
}

// grow is the set of k cells out of able that begins with the cell at seed.
func (s *search) grow(seed int, able cellSet, k int) cellSet {
	var distance [MaxCells]int64
	set, last := cellSet(1)<<seed, seed
	for n := 1; n < k; n++ {
		var next candidate
		for rest := able &^ set; rest != 0; rest &= rest - 1 {
			i := rest.first()
			distance[i] += s.between(last, i)
			next.improve(candidate{set: 1 << i, distance: distance[i], memory: s.rooms[i].memory, vcpus: s.rooms[i].vcpus})
		}
		last = next.set.first()
		set |= next.set
	}
	return set
}

// between is the distance of two cells there and back.
func (s *search) between(a, b int) int64 {
	return int64(s.usage.host.Distance(a, b)) + int64(s.usage.host.Distance(b, a))
}

// first is the lowest index in the set, which must not be empty.
func (c cellSet) first() int { return bits.TrailingZeros64(uint64(c)) }
