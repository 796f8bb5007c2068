package numa

// anywhere finds dedicated CPUs for a guest without a NUMA policy: in the cell
// where least is left if one holds them all, or else in as few cells as
// possible, those with most room first.
func (s *search) anywhere(d *division) bool {
	if set, found := s.best(1); found {
		s.deal(set, 1, d)
		return true
	}
	left, taken := s.vcpus, int64(0)
	for left > 0 {
		most := -1
		for i := range s.cells() {
			if d[i].vcpus == 0 && s.rooms[i].vcpus > 0 && (most < 0 || s.rooms[i].vcpus > s.rooms[most].vcpus) {
				most = i
			}
		}
		if most < 0 {
			return false
		}
		d[most].vcpus = min(left, s.rooms[most].vcpus)
		left -= d[most].vcpus
		taken += s.usage.takes(most, d[most].vcpus, s.apart)
	}
	return taken <= s.pinnable
}
