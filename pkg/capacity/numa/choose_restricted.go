package numa

// restricted is the smallest number of cells that hold the guest in even
// shares; of these sets the nearest, then the tightest.
func (s *search) restricted() (cellSet, int) {
	for k := 1; k <= s.most(); k++ {
		if set, found := s.best(k); found {
			return set, k
		}
	}
	return 0, 0
}
