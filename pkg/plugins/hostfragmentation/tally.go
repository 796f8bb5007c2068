package hostfragmentation

// maxPlaces is up to how many places for a shape a host is looked at: the cost
// does not grow with what is free, and a host with more has plenty to lose from.
const maxPlaces = 15

// tally is, by shape, how many places a host has and how many of them it loses:
// eight bits a shape, four for each number, which hold up to maxPlaces.
//
// It is a host's score until NormalizeScore has seen those of all hosts, and
// has all in it that is needed there: for a VM equal to the last the scheduler
// scores one host anew and normalizes with the others' scores of before.
type tally int64

func (t tally) with(shape int, places, lost int64) tally {
	return t | tally((places<<4|lost)<<(8*shape))
}

func (t tally) places(shape int) int64 { return int64(t) >> (8*shape + 4) & maxPlaces }

func (t tally) lost(shape int) int64 { return int64(t) >> (8 * shape) & maxPlaces }
