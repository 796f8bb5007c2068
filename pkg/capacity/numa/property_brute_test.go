package numa

import (
	"maps"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// found is a valid set of cells with what the policies judge it by.
type found struct {
	k                int
	distance, memory int64
}

// placements tries every set of cells and returns all that are valid under the
// request's policy, before any is preferred.
func (t *tally) placements(r *Request) []found {
	var out []found
	size := r.Granted.PageSize
	for bitmap := 1; bitmap < 1<<len(t.cells); bitmap++ {
		var members []int
		for i := range t.cells {
			if bitmap>>i&1 == 1 {
				members = append(members, i)
			}
		}
		if r.NUMA == v1alpha1.NUMASingleCell && len(members) > 1 {
			continue
		}
		p := v1alpha1.Placement{Granted: r.Granted, Cells: t.dealt(r, members)}
		var enough bool
		if p.Devices, enough = t.given(r, p.Cells); p.Cells == nil || !enough || !t.takes(r, &p) {
			continue
		}
		f := found{k: len(members)}
		for _, i := range members {
			f.memory += memoryIn(&t.cells[i], size) - t.bound[i][size]
			for _, j := range members {
				if i != j {
					f.distance += t.distance(i, j)
				}
			}
		}
		out = append(out, f)
	}
	return out
}

// dealt hands out vCPUs and memory one by one; nil when a member gets none.
func (t *tally) dealt(r *Request, members []int) []v1alpha1.PlacedCell {
	cells := make([]v1alpha1.PlacedCell, len(members))
	for n, i := range members {
		cells[n].ID = t.cells[i].ID
	}
	for n := range int(r.Granted.CPU) {
		cells[n%len(cells)].CPU++
	}
	unit := unitOf(r.Granted.PageSize)
	for n, left := 0, r.Granted.Memory; left > 0; n, left = n+1, left-unit {
		cells[n%len(cells)].Memory += min(unit, left)
	}
	for _, c := range cells {
		if c.CPU == 0 || c.Memory == 0 {
			return nil
		}
	}
	return cells
}

// takes pins the lowest CPUs that the thread policy allows and says whether the
// host keeps its promises with the placement on it.
func (t *tally) takes(r *Request, p *v1alpha1.Placement) bool {
	if r.dedicated() {
		for n := range p.Cells {
			c := &p.Cells[n]
			i := t.index(c.ID)
			if r.apart() {
				free := t.freeCores(i)
				if len(free) < int(c.CPU) {
					return false
				}
				pins, all := cpuset.New(), cpuset.New()
				for _, core := range free[:c.CPU] {
					pins, all = pins.Union(cpuset.New(core.List()[0])), all.Union(core)
				}
				c.CPUs, c.Idle = pins.String(), all.Difference(pins).String()
				continue
			}
			free := t.cpus[i].Difference(t.taken[i]).Difference(foreignCPUs(&t.cells[i])).List()
			if len(free) < int(c.CPU) {
				return false
			}
			c.CPUs = cpuset.New(free[:c.CPU]...).String()
		}
	}
	after := *t
	after.taken = append([]cpuset.CPUSet(nil), t.taken...)
	after.shared = append([]int64(nil), t.shared...)
	after.total = maps.Clone(t.total)
	after.devices = maps.Clone(t.devices)
	after.bound = nil
	for _, b := range t.bound {
		after.bound = append(after.bound, maps.Clone(b))
	}
	after.add(p)
	return after.broken() == ""
}

func (t *tally) distance(i, j int) int64 {
	for _, d := range t.cells[i].Distances {
		if d.Cell == t.cells[j].ID {
			return int64(d.Distance)
		}
	}
	return 20
}

// pinnable says whether dedicated CPUs without a NUMA policy are anywhere: with
// cores of one width it does not matter which are taken.
func (t *tally) pinnable(r *Request) (fits, known bool) {
	p := v1alpha1.Placement{Granted: r.Granted}
	width, left := 0, r.Granted.CPU
	for i := range t.cells {
		for _, core := range t.freeCores(i) {
			if known = width == 0 || width == core.Size(); r.apart() && !known {
				return false, false
			}
			width = core.Size()
		}
	}
	for i := range t.cells {
		c := v1alpha1.PlacedCell{ID: t.cells[i].ID}
		for n := left; n > 0; n-- {
			one := v1alpha1.PlacedCell{ID: c.ID, CPU: n}
			alone := v1alpha1.Placement{Granted: v1alpha1.GrantedResources{CPU: n, PageSize: r.Granted.PageSize}, Cells: []v1alpha1.PlacedCell{one}}
			if t.takes(r, &alone) {
				c = alone.Cells[0]
				break
			}
		}
		if c.CPU > 0 {
			p.Cells = append(p.Cells, c)
			left -= c.CPU
		}
	}
	var enough bool
	p.Devices, enough = t.given(r, nil)
	return left == 0 && enough && t.takes(r, &p), true
}
