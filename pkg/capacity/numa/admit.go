package numa

import (
	"fmt"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// Admit says what the host of u lacks for a placement that was decided
// elsewhere, or nil when it fits: what an executor asks before it starts a
// guest. Only what the placement takes is looked at, so that a host which has
// shrunk still admits a VM that needs nothing of what is short.
func Admit(u *Usage, p *v1alpha1.Placement) *Shortage {
	if reason := u.misplaced(p); reason != "" {
		return &Shortage{Reason: reason}
	}
	after := u.Clone()
	if err := after.Add(p); err != nil {
		return &Shortage{Reason: err.Error()}
	}
	before, free := u.Free(), after.Free()
	need := before.Sub(free)
	if short := capacity.Shortages(before, need); len(short) > 0 {
		return &Shortage{Resource: short[0].Resource, Need: short[0].Need, Largest: short[0].Free}
	}
	memoryPool, _ := poolOf(p.Granted.PageSize)
	for _, in := range p.Cells {
		i, _ := u.host.index(in.ID)
		have := u.host.Cells[i].memory(memoryPool) - u.cells[i].memory[memoryPool]
		if in.Memory > 0 && in.Memory > have {
			return &Shortage{Resource: resourceOf(memoryPool), Need: in.Memory, Largest: have, Extent: ExtentCell}
		}
		if left := after.sharedLeft(i); left < 0 {
			need := u.sharedLeft(i) - left
			return &Shortage{Resource: v1alpha1.ResourceCPU, Need: need, Largest: need + left, Extent: ExtentCell}
		}
	}
	return nil
}

// sharedLeft is how many more vCPUs may share the CPUs of the cell at index i
// that nobody has taken; negative where too many do.
func (u *Usage) sharedLeft(i int) int64 {
	return u.host.virtual(int64(len(u.host.Cells[i].cpus))-u.cells[i].taken) - u.cells[i].shared
}

// misplaced says in words what of the placement does not exist on the host or
// is given away already; empty when there is nothing.
func (u *Usage) misplaced(p *v1alpha1.Placement) string {
	pins, err := parsePins(p.Cells)
	if err != nil {
		return err.Error()
	}
	others, foreign := cpuset.New(), cpuset.New()
	for n := range p.Cells {
		in := &p.Cells[n]
		i, found := u.host.index(in.ID)
		if !found {
			return fmt.Sprintf("the host has no NUMA cell %d: it has changed since the VM was placed", in.ID)
		}
		if pins == nil {
			continue
		}
		if !pins[n].cpus.IsEmpty() && pins[n].cpus.Size() != int(in.CPU) {
			return fmt.Sprintf("%d vCPUs in NUMA cell %d are pinned to %d CPUs", in.CPU, in.ID, pins[n].cpus.Size())
		}
		wanted := pins[n].cpus.Union(pins[n].idle)
		if gone := wanted.Difference(u.host.Cells[i].CPUs); !gone.IsEmpty() {
			return fmt.Sprintf("CPUs %s are not in NUMA cell %d: the host has changed since the VM was placed", gone, in.ID)
		}
		others = others.Union(u.Taken(i).Intersection(wanted))
		foreign = foreign.Union(u.host.Cells[i].Foreign.Intersection(wanted))
	}
	switch {
	case !others.IsEmpty():
		return fmt.Sprintf("CPUs %s belong to another VM alone", others)
	case !foreign.IsEmpty():
		return fmt.Sprintf("domains that Domus does not own are pinned to CPUs %s", foreign)
	}
	return u.misplacedDevices(p.Devices)
}
