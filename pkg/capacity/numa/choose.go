package numa

import (
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Assignment is where on a host a VM would lie.
type Assignment struct {
	// Cells by ascending id: vCPUs, guest memory and pinned CPUs of each. What
	// of the request is in none of them floats; nil when all of it does.
	Cells []v1alpha1.PlacedCell
	// Devices by ascending address.
	Devices []v1alpha1.PlacedDevice
}

// Choose decides where on the host of u the request lies, or says what is
// missing. It changes nothing, and decides the same for the same arguments.
func Choose(u *Usage, r *Request) (Assignment, *Shortage) {
	if short := hostShortage(u, r); short != nil {
		return Assignment{}, short
	}
	if r.floats() {
		return Assignment{Devices: u.assignDevices(r, 0)}, nil
	}
	var s search
	s.start(u, r)
	var d division
	if !s.divide(r.NUMA, &d) {
		return Assignment{}, s.shortage(r)
	}
	return Assignment{Cells: s.assignCells(&d, r.Dedicated()), Devices: u.assignDevices(r, d.cells())}, nil
}

// Fits says whether Choose finds a place. It does not allocate.
func Fits(u *Usage, r *Request) bool {
	if !FitsTotals(u, r) {
		return false
	}
	if r.floats() {
		return true
	}
	var s search
	s.start(u, r)
	var d division
	return s.divide(r.NUMA, &d)
}

// FitsTotals holds the request against the host's totals alone, as if nothing
// were bound to cells: what does not fit them fits no arrangement of cells. It
// does not allocate.
func FitsTotals(u *Usage, r *Request) bool {
	if r.unknown() != "" || !capacity.Fits(u.Free(), r.Totals()) {
		return false
	}
	if r.Dedicated() && int64(r.Granted.CPU) > u.pinnable() {
		return false
	}
	return len(r.Devices) == 0 || u.fitsDevices(r)
}

// division is what of a guest each cell of a host holds.
type division [MaxCells]struct{ vcpus, memory int64 }

// cells are the cells that hold something.
func (d *division) cells() cellSet {
	var set cellSet
	for i := range d {
		if d[i].vcpus > 0 {
			set |= 1 << i
		}
	}
	return set
}

// divide finds what each cell holds under the policy.
func (s *search) divide(policy v1alpha1.NUMAPolicy, d *division) bool {
	var set cellSet
	var k int
	switch policy {
	case v1alpha1.NUMASingleCell:
		set, k = s.singleCell()
	case v1alpha1.NUMARestricted:
		set, k = s.restricted()
	case v1alpha1.NUMASpread:
		set, k = s.spread()
	default:
		return s.anywhere(d)
	}
	s.deal(set, k, d)
	return set != 0
}

// deal gives the k cells of set their shares.
func (s *search) deal(set cellSet, k int, d *division) {
	for j := 0; set != 0; set, j = set&(set-1), j+1 {
		i := set.first()
		d[i].vcpus, d[i].memory = s.share(j, k)
	}
}

// assignCells writes the division down and picks dedicated CPUs.
func (s *search) assignCells(d *division, dedicated bool) []v1alpha1.PlacedCell {
	var cells []v1alpha1.PlacedCell
	for i := range s.cells() {
		if d[i].vcpus == 0 {
			continue
		}
		c := &s.usage.host.Cells[i]
		cell := v1alpha1.PlacedCell{ID: c.ID, CPU: int32(d[i].vcpus), Memory: d[i].memory}
		if dedicated {
			p := s.usage.pick(i, d[i].vcpus, s.apart, picked{})
			cell.CPUs, cell.Idle = c.list(p.pinned), c.list(p.idle)
		}
		cells = append(cells, cell)
	}
	return cells
}

// list writes CPUs, given as indexes of the cell's CPUs, in Linux list format.
func (c *Cell) list(at []int) string {
	numbers := make([]int, len(at))
	for n, i := range at {
		numbers[n] = c.cpus[i]
	}
	return cpuset.New(numbers...).String()
}
