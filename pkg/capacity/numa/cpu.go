package numa

// dedicatedRoom is how many vCPUs of one VM can be pinned in the cell at index
// i: the shared vCPUs granted there keep as many CPUs as offer them, foreign
// CPUs are nobody's, and apart spends a whole core, which nobody else may use,
// on each vCPU.
func (u *Usage) dedicatedRoom(i int, apart bool) int64 {
	c, used := &u.host.Cells[i], &u.cells[i]
	cpus := int64(len(c.cpus))
	spare := cpus - used.taken - u.host.physicalCost(used.shared)
	if !apart {
		return max(min(spare, cpus-used.barred), 0)
	}
	n := int64(0)
	for k := range c.cores {
		if !u.coreFree(i, c.cores[k]) {
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
	c, total := &u.host.Cells[i], int64(0)
	for k := range c.cores {
		if n == 0 {
			break
		}
		if u.coreFree(i, c.cores[k]) {
			total += int64(len(c.cores[k]))
			n--
		}
	}
	return total
}

// picked are CPUs of one cell, as indexes of its CPUs: those to which vCPUs are
// pinned, and those that are left idle for them.
type picked struct{ pinned, idle []int }

// pick chooses the CPUs for n dedicated vCPUs in the cell at index i, where they
// have room. It appends to into, so that a caller can keep its memory.
func (u *Usage) pick(i int, n int64, apart bool, into picked) picked {
	if apart {
		return u.pickApart(i, int(n), into)
	}
	into.pinned = u.pickTogether(i, int(n), into.pinned)
	return into
}

// pickApart takes the lowest thread of the lowest free cores and leaves the
// other threads idle.
func (u *Usage) pickApart(i, n int, into picked) picked {
	for _, core := range u.host.Cells[i].cores {
		if n == 0 {
			break
		}
		if !u.coreFree(i, core) {
			continue
		}
		into.pinned = append(into.pinned, core[0])
		into.idle = append(into.idle, core[1:]...)
		n--
	}
	return into
}

// pickTogether takes, lowest first and each as far as CPUs are still wanted:
// free cores whole; then the rest of cores that others have begun, so that no
// core is split without need; then some threads of one more free core.
func (u *Usage) pickTogether(i, n int, pinned []int) []int {
	cores, left := u.host.Cells[i].cores, n
	for _, core := range cores {
		if len(core) <= left && u.coreFree(i, core) {
			pinned = append(pinned, core...)
			left -= len(core)
		}
	}
	for _, core := range cores {
		if u.coreFree(i, core) {
			continue
		}
		for _, at := range core {
			if left > 0 && u.cpuFree(i, at) {
				pinned = append(pinned, at)
				left--
			}
		}
	}
	// unspent is left as it was at each core when cores were taken whole.
	unspent := n
	for _, core := range cores {
		if !u.coreFree(i, core) {
			continue
		}
		if len(core) <= unspent {
			unspent -= len(core)
			continue
		}
		part := core[:min(left, len(core))]
		pinned = append(pinned, part...)
		left -= len(part)
	}
	return pinned
}

// cpuFree says whether nobody has taken the CPU, and no foreign domain is pinned
// to it.
func (u *Usage) cpuFree(i, at int) bool {
	return u.cells[i].takers[at] <= 0 && !u.host.Cells[i].foreign[at]
}

// coreFree says whether all threads of the core are free.
func (u *Usage) coreFree(i int, core []int) bool {
	for _, at := range core {
		if !u.cpuFree(i, at) {
			return false
		}
	}
	return true
}
