package executor

import (
	"strings"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/libvirt"
)

// checkDomainType says whether libvirt here runs guests of the domain's kind
// and architecture. Another host may.
func checkDomainType(types []libvirt.DomainType, d *libvirtxml.Domain) *Rejection {
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
	return unfit("the host does not run %s guests for %s; it runs %s", d.Type, arch, strings.Join(offered, ", "))
}

// checkShortages says what the host lacks for a binding.
func checkShortages(short []capacity.Shortage) *Rejection {
	if len(short) == 0 {
		return nil
	}
	var all []string
	for _, s := range short {
		all = append(all, s.String())
	}
	return unfit("the host is full: %s", strings.Join(all, "; "))
}

// checkFreePages holds a grant against the hugepages that nobody uses on the
// host right now: accounting does not see who else takes pages, and libvirt
// reports their lack by an error that could mean anything.
func checkFreePages(free []libvirt.CellFree, granted v1alpha1.GrantedResources) *Rejection {
	need := capacity.FromGranted(granted)
	need.CPU, need.Memory = 0, 0
	var have capacity.Resources
	for _, cell := range free {
		in2Mi, in1Gi := cell.Pages.Bytes()
		have.Hugepages2Mi, have.Hugepages1Gi = have.Hugepages2Mi+in2Mi, have.Hugepages1Gi+in1Gi
	}
	var all []string
	for _, s := range capacity.Shortages(have, need) {
		all = append(all, s.String())
	}
	if len(all) == 0 {
		return nil
	}
	return unfit("something on the host uses its hugepages: %s", strings.Join(all, "; "))
}
