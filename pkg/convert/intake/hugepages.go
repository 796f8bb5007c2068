package intake

import (
	"strings"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// hugepages makes several entries of one size, or none, the one size of page
// that the guest is in. Two sizes are left for the policy to refuse.
func (s *state) hugepages() {
	backing := s.domain.MemoryBacking
	if backing == nil || backing.MemoryHugePages == nil {
		return
	}
	size, why := v1alpha1.PageSize2Mi, "no size was named: the host's default is 2 MiB on most"
	for i, page := range backing.MemoryHugePages.Hugepages {
		this, ok := hugepage(page)
		if !ok || i > 0 && this != size {
			return
		}
		size, why = this, "all of the guest is in pages of one size"
	}
	s.vm.Spec.Resources.Hugepages = &v1alpha1.Hugepages{PageSize: size}
	s.changed(at("memoryBacking", "memoryHugePages"), "became spec.resources.hugepages.pageSize: "+string(size), why)
	backing.MemoryHugePages = nil
	if *backing == (libvirtxml.DomainMemoryBacking{}) {
		s.domain.MemoryBacking = nil
	}
}

func hugepage(page libvirtxml.DomainMemoryHugepage) (v1alpha1.PageSize, bool) {
	unit := strings.ToLower(page.Unit)
	switch {
	case page.Size == 2048 && (unit == "" || unit == "k" || unit == "kib"), page.Size == 2 && (unit == "m" || unit == "mib"):
		return v1alpha1.PageSize2Mi, true
	case page.Size == 1048576 && (unit == "" || unit == "k" || unit == "kib"), page.Size == 1024 && (unit == "m" || unit == "mib"),
		page.Size == 1 && (unit == "g" || unit == "gib"):
		return v1alpha1.PageSize1Gi, true
	}
	return "", false
}
