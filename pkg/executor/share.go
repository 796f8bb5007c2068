package executor

import (
	"fmt"
	"slices"

	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/libvirt"
)

// ownCells are the host's cells as far as they are the VMs'.
func ownCells(config hostconfig.HostConfiguration, d libvirt.Description) []v1alpha1.Cell {
	cells := reportedCells(d.Cells)
	if config.Mode == hostconfig.ModePartitioned {
		cells, _, _ = cutShare(config.Share, cells)
	}
	return cells
}

// cutShare leaves of the host's cells what is the VMs' there, sums it up, and
// says what of the share the host does not have. A cell of which VMs own
// nothing stays, empty: devices may be near it.
func cutShare(share []hostconfig.ShareConfiguration, cells []v1alpha1.Cell) (own []v1alpha1.Cell, sum capacity.Resources, missing []string) {
	for _, c := range cells {
		cut := v1alpha1.Cell{ID: c.ID, Distances: c.Distances}
		if i := slices.IndexFunc(share, func(s hostconfig.ShareConfiguration) bool { return s.Cell == c.ID }); i >= 0 {
			var lacks []string
			cut, lacks = cutCell(&share[i], c)
			missing = append(missing, lacks...)
		}
		sum = sum.Add(cellResources(&cut))
		own = append(own, cut)
	}
	for _, s := range share {
		if !slices.ContainsFunc(cells, func(c v1alpha1.Cell) bool { return c.ID == s.Cell }) {
			missing = append(missing, fmt.Sprintf("the host has no NUMA cell %d: change share", s.Cell))
		}
	}
	return own, sum, missing
}

// cutCell is the part of cell c that is the VMs', and what of it is not there.
func cutCell(s *hostconfig.ShareConfiguration, c v1alpha1.Cell) (v1alpha1.Cell, []string) {
	var missing []string
	lacks := func(want, have int64, what string) int64 {
		if want > have {
			missing = append(missing, fmt.Sprintf("NUMA cell %d has %s of the share's %s of %s: change share",
				s.Cell, capacity.Bytes(have), capacity.Bytes(want), what))
		}
		return min(want, have)
	}
	has := cellResources(&c)
	wanted, _ := cpuset.Parse(s.CPUs)
	there, _ := cpuset.Parse(c.CPUs)
	if gone := wanted.Difference(there); !gone.IsEmpty() {
		missing = append(missing, fmt.Sprintf("NUMA cell %d has no CPUs %s: change share", s.Cell, gone))
	}
	cpus := wanted.Intersection(there)
	cut := v1alpha1.Cell{ID: c.ID, CPUs: cpus.String(), Distances: c.Distances}
	for _, core := range c.Siblings {
		threads, _ := cpuset.Parse(core)
		if threads = threads.Intersection(cpus); threads.Size() > 1 {
			cut.Siblings = append(cut.Siblings, threads.String())
		}
	}
	cut.Memory = lacks(s.Memory.Value(), has.Memory, "memory")
	for _, pool := range []struct {
		size             v1alpha1.PageSize
		count, has, page int64
	}{
		{v1alpha1.PageSize2Mi, s.Hugepages2Mi, has.Hugepages2Mi, 2 << 20},
		{v1alpha1.PageSize1Gi, s.Hugepages1Gi, has.Hugepages1Gi, 1 << 30},
	} {
		if bytes := lacks(pool.count*pool.page, pool.has, string(pool.size)+" hugepages"); bytes > 0 {
			cut.Hugepages = append(cut.Hugepages, v1alpha1.PagePool{Size: pool.size, Total: bytes / pool.page})
			cut.Memory += bytes
		}
	}
	return cut, missing
}
