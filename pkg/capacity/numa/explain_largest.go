package numa

import (
	"cmp"
	"math/bits"
	"slices"
)

// largestVCPUs is the largest number of vCPUs that up to most cells hold in
// even shares.
func (s *search) largestVCPUs(most int) int64 {
	var sizes [MaxCells]int64
	for i := range s.cells() {
		sizes[i] = s.rooms[i].vcpus
	}
	return s.largestEven(&sizes, most, false)
}

// largestMemory is the most guest memory in bytes that up to most cells hold in
// even shares: of any cells, or of cells that hold their vCPUs beside it.
func (s *search) largestMemory(most int, besideCPU bool) int64 {
	var sizes [MaxCells]int64
	for i := range s.cells() {
		sizes[i] = s.rooms[i].memory / s.grain
	}
	return s.largestEven(&sizes, most, besideCPU) * s.grain
}

// largestEven is the largest number that up to most cells hold in even shares
// when each holds its size: exactly where sets are searched exactly, and else as
// if every share were the largest one.
func (s *search) largestEven(sizes *[MaxCells]int64, most int, besideCPU bool) int64 {
	largest := int64(0)
	if s.cells() > exactCells {
		for k := 1; k <= most; k++ {
			largest = max(largest, int64(k)*s.kth(sizes, k, besideCPU))
		}
		return largest
	}
	for set := cellSet(1); set < 1<<s.cells(); set++ {
		k := bits.OnesCount64(uint64(set))
		if k > most || besideCPU && !s.holdsVCPUs(set, k) {
			continue
		}
		// Each cell holds the smallest size, and the first ones that can hold
		// one more are dealt it.
		each, more := sizes[set.first()], int64(0)
		for rest := set; rest != 0; rest &= rest - 1 {
			each = min(each, sizes[rest.first()])
		}
		if each == 0 {
			continue // a cell that holds nothing is none of the guest's
		}
		for rest := set; rest != 0 && sizes[rest.first()] > each; rest &= rest - 1 {
			more++
		}
		largest = max(largest, int64(k)*each+more)
	}
	return largest
}

// holdsVCPUs says whether the k cells of set hold their shares of the vCPUs.
func (s *search) holdsVCPUs(set cellSet, k int) bool {
	for j := 0; set != 0; set, j = set&(set-1), j+1 {
		if vcpus, _ := s.share(j, k); vcpus > s.rooms[set.first()].vcpus {
			return false
		}
	}
	return true
}

// kth is the k-th largest size, of any cells or of those with room for the
// largest share of the vCPUs.
func (s *search) kth(sizes *[MaxCells]int64, k int, besideCPU bool) int64 {
	vcpus, _ := s.largest(k)
	sorted := *sizes
	for i := range s.cells() {
		if besideCPU && s.rooms[i].vcpus < vcpus {
			sorted[i] = 0
		}
	}
	slices.SortFunc(sorted[:s.cells()], func(a, b int64) int { return cmp.Compare(b, a) })
	return sorted[k-1]
}
