package numa

import (
	"k8s.io/utils/cpuset"
)

// dedicatedRoom is how many vCPUs of one VM can be pinned in the cell at index
// i: the shared vCPUs granted there keep as many CPUs as offer them, and apart
// spends a whole core, which nobody else may use, on each vCPU.
func (u *Usage) dedicatedRoom(i int, apart bool) int64 {
	c, used := &u.host.Cells[i], &u.cells[i]
	spare := int64(len(c.cpus)) - used.taken - u.host.physicalCost(used.shared)
	if !apart {
		return max(spare, 0)
	}
	n := int64(0)
	for k := range c.cores {
		if !used.coreFree(c.cores[k]) {
			continue
		}
		if spare -= int64(len(c.cores[k])); spare < 0 {
			break
		}
		n++
	}
	return n
}

// takes is how many CPUs leave the shared pool when n vCPUs are pinned in the
// cell at index i, where they have room.
func (u *Usage) takes(i int, n int64, apart bool) int64 {
	if !apart {
		return n
	}
	c, used, total := &u.host.Cells[i], &u.cells[i], int64(0)
	for k := range c.cores {
		if n == 0 {
			break
		}
		if used.coreFree(c.cores[k]) {
			total += int64(len(c.cores[k]))
			n--
		}
	}
	return total
}

// pick chooses the CPUs to which n vCPUs are pinned in the cell at index i,
// where they have room, and those that are left idle for them.
func (u *Usage) pick(i int, n int64, apart bool) (cpus, idle cpuset.CPUSet) {
	if apart {
		return u.pickApart(i, n)
	}
	return u.pickTogether(i, n), cpuset.New()
}

// pickApart takes the lowest thread of the lowest free cores and leaves the
// other threads idle.
func (u *Usage) pickApart(i int, n int64) (cpus, idle cpuset.CPUSet) {
	c, used := &u.host.Cells[i], &u.cells[i]
	var pinned, kept []int
	for _, core := range c.cores {
		if int64(len(pinned)) == n {
			break
		}
		if !used.coreFree(core) {
			continue
		}
		pinned = append(pinned, c.cpus[core[0]])
		for _, at := range core[1:] {
			kept = append(kept, c.cpus[at])
		}
	}
	return cpuset.New(pinned...), cpuset.New(kept...)
}

// pickTogether takes, lowest first and each as far as CPUs are still wanted:
// free cores whole; then the rest of cores that others have begun, so that no
// core is split without need; then some threads of one more free core.
func (u *Usage) pickTogether(i int, n int64) cpuset.CPUSet {
	c, used := &u.host.Cells[i], &u.cells[i]
	left := int(n)
	var pinned []int
	whole := make([]bool, len(c.cores))
	for k, core := range c.cores {
		if len(core) <= left && used.coreFree(core) {
			whole[k] = true
			for _, at := range core {
				pinned = append(pinned, c.cpus[at])
			}
			left -= len(core)
		}
	}
	for _, begun := range []bool{true, false} {
		for k, core := range c.cores {
			if whole[k] || used.coreFree(core) == begun {
				continue
			}
			for _, at := range core {
				if left > 0 && used.takers[at] <= 0 {
					pinned = append(pinned, c.cpus[at])
					left--
				}
			}
		}
	}
	return cpuset.New(pinned...)
}

// coreFree says whether nobody has taken a thread of the core.
func (u *cellUsage) coreFree(core []int) bool {
	for _, at := range core {
		if u.takers[at] > 0 {
			return false
		}
	}
	return true
}
