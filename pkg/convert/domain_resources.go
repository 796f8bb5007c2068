package convert

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

const kib = 1024

// pageKiB is the size of a hugepage in KiB, the unit libvirt reports them in.
var pageKiB = map[v1alpha1.PageSize]uint{
	v1alpha1.PageSize2Mi: 2 << 10,
	v1alpha1.PageSize1Gi: 1 << 20,
}

// setResources gives the domain what the placement granted, no more and no
// less, and has it started so that it can grow as far as the placement allows:
// vCPUs beyond those granted are not plugged in, and the balloon holds the memory
// beyond. Guest memory is what is granted rounded up to KiB, libvirt's own grain;
// the overhead is QEMU's and is not told to it.
func setResources(domain *libvirtxml.Domain, granted v1alpha1.GrantedResources) field.ErrorList {
	at := placementPath.Child("granted")
	var errs field.ErrorList
	if granted.CPU < 1 {
		errs = append(errs, field.Invalid(at.Child("cpu"), granted.CPU, "must be at least 1"))
	}
	if granted.Memory < 1 {
		errs = append(errs, field.Invalid(at.Child("memory"), granted.Memory, "must be at least 1 byte"))
	}
	page, known := pageKiB[granted.PageSize]
	if granted.PageSize != "" && !known {
		errs = append(errs, field.NotSupported(at.Child("pageSize"), granted.PageSize,
			[]v1alpha1.PageSize{v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi}))
	}
	if known && granted.Memory%(int64(page)*kib) != 0 {
		errs = append(errs, field.Invalid(at.Child("memory"), granted.Memory,
			fmt.Sprintf("must be whole pages of %s", granted.PageSize)))
	}
	if granted.MaxCPU != 0 && granted.MaxCPU < granted.CPU {
		errs = append(errs, field.Invalid(at.Child("maxCPU"), granted.MaxCPU, "must be at least granted.cpu"))
	}
	switch {
	case granted.MaxMemory == 0:
	case granted.MaxMemory < granted.Memory:
		errs = append(errs, field.Invalid(at.Child("maxMemory"), granted.MaxMemory, "must be at least granted.memory"))
	case granted.PageSize != "":
		errs = append(errs, field.Invalid(at.Child("maxMemory"), granted.MaxMemory, "a balloon gives no hugepages back"))
	}
	if len(errs) > 0 {
		return errs
	}

	cpus := capacity.MostCPU(granted)
	domain.VCPU = &libvirtxml.DomainVCPU{Placement: "static", Value: uint(cpus)}
	if cpus > granted.CPU {
		domain.VCPU.Current = uint(granted.CPU)
	}
	domain.VCPUs = nil
	domain.MaximumMemory = nil
	domain.Memory = &libvirtxml.DomainMemory{Value: wholeKiB(capacity.MostMemory(granted)), Unit: "KiB"}
	domain.CurrentMemory = &libvirtxml.DomainCurrentMemory{Value: wholeKiB(granted.Memory), Unit: "KiB"}
	setHugepages(domain, page)
	return nil
}

// wholeKiB is so many bytes in KiB, rounded up.
func wholeKiB(bytes int64) uint {
	n := uint(bytes / kib)
	if bytes%kib != 0 {
		n++
	}
	return n
}

// setHugepages puts guest memory into pages of so many KiB, or into ordinary
// memory when 0. What else the user says of memory backing stays.
func setHugepages(domain *libvirtxml.Domain, page uint) {
	if page == 0 {
		if domain.MemoryBacking != nil {
			domain.MemoryBacking.MemoryHugePages = nil
		}
		return
	}
	if domain.MemoryBacking == nil {
		domain.MemoryBacking = &libvirtxml.DomainMemoryBacking{}
	}
	domain.MemoryBacking.MemoryHugePages = &libvirtxml.DomainMemoryHugepages{
		Hugepages: []libvirtxml.DomainMemoryHugepage{{Size: page, Unit: "KiB"}},
	}
}
