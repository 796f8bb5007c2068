package numa

// candidate is a set of cells that holds a guest, with what it is judged by.
type candidate struct {
	set cellSet
	// distance is the sum of the distances between the cells, both ways.
	distance int64
	// memory and vcpus are the room in the cells together. The guest takes the
	// same of every candidate, so the one with least room is left with least.
	memory, vcpus int64
}

// weigh looks at what the set is judged by.
func (s *search) weigh(set cellSet) candidate {
	c := candidate{set: set}
	for rest := set; rest != 0; rest &= rest - 1 {
		i := rest.first()
		c.memory += s.rooms[i].memory
		c.vcpus += s.rooms[i].vcpus
		for others := rest & (rest - 1); others != 0; others &= others - 1 {
			c.distance += s.between(i, others.first())
		}
	}
	return c
}

// improve replaces c by o when o is better: nearer, then tighter in memory, then
// tighter in CPUs, then with the lower ids. Memory goes before CPUs because
// hugepages and cells' memory cannot be overcommitted.
func (c *candidate) improve(o candidate) {
	if c.set == 0 || o.before(c) {
		*c = o
	}
}

func (c *candidate) before(o *candidate) bool {
	switch {
	case c.distance != o.distance:
		return c.distance < o.distance
	case c.memory != o.memory:
		return c.memory < o.memory
	case c.vcpus != o.vcpus:
		return c.vcpus < o.vcpus
	}
	// Where the sets differ first, the better one has the cell.
	differ := c.set ^ o.set
	return differ != 0 && c.set&(differ&-differ) != 0
}
