package numa

// spread is the largest number of cells that hold the guest in even shares, at
// most one for each vCPU; of these sets the nearest, then the tightest.
func (s *search) spread() (cellSet, int) {
	for k := s.most(); k >= 1; k-- {
		if set, found := s.best(k); found {
			return set, k
		}
	}
	return 0, 0
}
