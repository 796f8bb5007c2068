package numa

import (
	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Assignment is where on a host a VM would lie.
type Assignment struct {
	// Cells by ascending id: vCPUs, guest memory and pinned CPUs of each. What
	// of the request is in none of them floats; nil when all of it does.
	Cells []v1alpha1.PlacedCell
}

// Choose decides where on the host of u the request lies, or says what is
// missing. It changes nothing, and decides the same for the same arguments.
func Choose(u *Usage, r *Request) (Assignment, *Shortage) {
	if short := hostShortage(u, r); short != nil {
		return Assignment{}, short
	}
	if r.floats() {
		return Assignment{}, nil
	}
	var s search
	s.start(u, r)
	var d division
	if !s.divide(r.NUMA, &d) {
		return Assignment{}, s.shortage(r)
	}
	return s.assignment(&d, r.dedicated()), nil
}

// Fits says whether Choose finds a place. It does not allocate.
func Fits(u *Usage, r *Request) bool {
	if !fitsHost(u, r) {
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

// fitsHost holds the request against the host's totals.
func fitsHost(u *Usage, r *Request) bool {
	if r.unknown() != "" || !capacity.Fits(u.Free(), r.need()) {
		return false
	}
	return !r.dedicated() || int64(r.Granted.CPU) <= u.pinnable()
}

// division is what of a guest each cell of a host holds.
type division [MaxCells]struct{ vcpus, memory int64 }

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

// assignment writes the division down and picks dedicated CPUs.
func (s *search) assignment(d *division, dedicated bool) Assignment {
	var a Assignment
	for i := range s.cells() {
		if d[i].vcpus == 0 {
			continue
		}
		cell := v1alpha1.PlacedCell{ID: s.usage.host.Cells[i].ID, CPU: int32(d[i].vcpus), Memory: d[i].memory}
		if dedicated {
			cpus, idle := s.usage.pick(i, d[i].vcpus, s.apart)
			cell.CPUs, cell.Idle = cpus.String(), idle.String()
		}
		a.Cells = append(a.Cells, cell)
	}
	return a
}
