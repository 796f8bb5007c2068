package executor

import (
	"fmt"
	"strings"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/plan"
	"domus.dev/domus/pkg/libvirt"
)

// checkDomainType says whether libvirt here runs guests of the domain's kind
// and architecture. Another host may.
func checkDomainType(types []libvirt.DomainType, d *libvirtxml.Domain) *plan.Rejection {
	var arch string
	if d.OS != nil && d.OS.Type != nil {
		arch = d.OS.Type.Arch
	}
	var offered []string
	for _, t := range types {
		if t.Type == d.Type && t.Arch == arch {
			return nil
		}
		offered = append(offered, t.Type+" "+t.Arch)
	}
	return plan.Unfit("the host does not run %s guests for %s; it runs %s", d.Type, arch, strings.Join(offered, ", "))
}

// checkFreePages holds a placement against the hugepages that nobody uses right
// now, in its cells and, for what is in none of them, in all together:
// accounting does not see who else takes pages, and libvirt reports their lack
// by an error that could mean anything.
func checkFreePages(free []libvirt.CellFree, p v1alpha1.Placement) *plan.Rejection {
	var all []string
	lacks := func(need, have int64, where string) {
		if need > have {
			all = append(all, fmt.Sprintf("need %s of %s hugepages%s, %s free", capacity.Bytes(need), p.Granted.PageSize, where, capacity.Bytes(have)))
		}
	}
	left, floating := int64(0), p.Granted.Memory
	have := map[int32]int64{}
	for _, cell := range free {
		in2Mi, in1Gi := cell.Pages.Bytes()
		have[cell.Cell] = in2Mi
		if p.Granted.PageSize == v1alpha1.PageSize1Gi {
			have[cell.Cell] = in1Gi
		}
		left += have[cell.Cell]
	}
	for _, cell := range p.Cells {
		lacks(cell.Memory, have[cell.ID], fmt.Sprintf(" in NUMA cell %d", cell.ID))
		left, floating = left-cell.Memory, floating-cell.Memory
	}
	if len(all) == 0 {
		lacks(floating, left, "")
	}
	if len(all) == 0 {
		return nil
	}
	return plan.Unfit("something on the host uses its hugepages: %s", strings.Join(all, "; "))
}
