package executor

import (
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/hostconfig"
)

// taken is what they take of the host as a whole: running domains that are not
// ours, and all that quarantined ones hold.
func (o others) taken(config hostconfig.HostConfiguration) capacity.Resources {
	var sum capacity.Resources
	for _, d := range o.foreign {
		if d.State.Active() {
			sum = sum.Add(usage(d))
		}
	}
	for _, q := range o.quarantined {
		held := capacity.FromGranted(q.Ownership.Granted)
		pinned, idle := ownCPUs(q.Ownership.Cells)
		// A CPU that a guest has to itself is offered to nobody, however often it
		// could have been shared.
		held.CPU -= int64(pinned.Size())
		held.CPU += (int64(pinned.Union(idle).Size())*config.CPUOvercommit.MilliValue() + 999) / 1000
		sum = sum.Add(held)
	}
	return sum
}

// bind notes in the cells what they have bound there. all are the host's CPUs:
// a pin to all of them binds nothing.
func (o others) bind(cells []v1alpha1.Cell, all cpuset.CPUSet) {
	pinned, memory := cpuset.New(), map[int32]capacity.Resources{}
	hold := func(cell int32, part v1alpha1.GrantedResources) {
		memory[cell] = memory[cell].Add(capacity.FromGranted(part))
	}
	for _, d := range o.foreign {
		if !d.State.Active() {
			continue
		}
		for _, pin := range d.Binding.VCPUs {
			if cpus, err := cpuset.Parse(pin); err == nil && !all.IsSubsetOf(cpus) {
				pinned = pinned.Union(cpus)
			}
		}
		for _, b := range d.Binding.Cells {
			hold(b.Cell, v1alpha1.GrantedResources{Memory: b.Memory, PageSize: pageSize(d)})
		}
	}
	for _, q := range o.quarantined {
		own, idle := ownCPUs(q.Ownership.Cells)
		pinned = pinned.Union(own).Union(idle)
		for _, c := range q.Ownership.Cells {
			hold(c.ID, v1alpha1.GrantedResources{Memory: c.Memory, PageSize: q.Ownership.Granted.PageSize})
		}
	}
	for i := range cells {
		c := &cells[i]
		own, _ := cpuset.Parse(c.CPUs)
		has := cellResources(c)
		// No more than is there: a domain of another may be bound to a part of
		// the cell that is not the VMs'.
		held := smaller(memory[c.ID], has)
		use := v1alpha1.ForeignUse{
			CPUs: own.Intersection(pinned).String(), Memory: held.Memory,
			Hugepages2Mi: (held.Hugepages2Mi + 1<<21 - 1) >> 21, Hugepages1Gi: (held.Hugepages1Gi + 1<<30 - 1) >> 30,
		}
		if use != (v1alpha1.ForeignUse{}) {
			c.Foreign = &use
		}
	}
}

// devices are the addresses of the devices that quarantined domains hold. Those
// of foreign domains are not known.
func (o others) devices() map[string]bool {
	held := map[string]bool{}
	for _, q := range o.quarantined {
		for _, d := range q.Ownership.Devices {
			held[d.Address] = true
		}
	}
	return held
}

// ownCPUs are the CPUs that a placement has to itself and that it keeps idle.
func ownCPUs(cells []v1alpha1.PlacedCell) (pinned, idle cpuset.CPUSet) {
	for _, c := range cells {
		// What cannot be read was never admitted, nor taken for a mark.
		cpus, _ := cpuset.Parse(c.CPUs)
		kept, _ := cpuset.Parse(c.Idle)
		pinned, idle = pinned.Union(cpus), idle.Union(kept)
	}
	return pinned, idle
}
