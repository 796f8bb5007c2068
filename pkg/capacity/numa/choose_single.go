package numa

// singleCell is the best fit: of the cells that hold all of the guest, the one
// where least is left.
func (s *search) singleCell() (cellSet, int) {
	set, _ := s.best(1)
	return set, 1
}
