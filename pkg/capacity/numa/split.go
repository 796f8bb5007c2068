package numa

// split is a guest that is divided evenly over cells. vCPUs, and units of
// memory, are dealt in turn to the cells by ascending id, so that the first
// cells have one more where the number of cells does not divide them.
type split struct {
	// vcpus is the number of vCPUs.
	vcpus int64
	// units is memory in whole units of grain bytes, and rest the bytes below
	// one unit, which are dealt last. With hugepages there is no rest.
	units, grain, rest int64
}

func newSplit(vcpus, memory int64, p pool) split {
	return split{vcpus: vcpus, units: memory / p.grain(), grain: p.grain(), rest: memory % p.grain()}
}

// share is what the cell at place j of k holds: vCPUs and bytes.
func (s *split) share(j, k int) (vcpus, memory int64) {
	at, of := int64(j), int64(k)
	vcpus, memory = s.vcpus/of, s.units/of*s.grain
	if at < s.vcpus%of {
		vcpus++
	}
	switch last := s.units % of; {
	case at < last:
		memory += s.grain
	case at == last:
		memory += s.rest
	}
	return vcpus, memory
}

// largest is the largest share of vCPUs and of memory that any of k cells holds.
func (s *split) largest(k int) (vcpus, memory int64) {
	of := int64(k)
	vcpus, memory = (s.vcpus+of-1)/of, s.units/of*s.grain
	if s.units%of > 0 {
		memory += s.grain
	} else {
		memory += s.rest
	}
	return vcpus, memory
}

// parts is the largest number of cells of which each still holds a vCPU and
// some memory.
func (s *split) parts() int64 {
	units := s.units
	if s.rest > 0 {
		units++
	}
	return min(s.vcpus, units)
}

// memory is all of it in bytes.
func (s *split) memory() int64 { return s.units*s.grain + s.rest }
