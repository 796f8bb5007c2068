package admission

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// The largest amount of memory that is accepted: beyond any host, and far below
// where sums would no longer fit.
const maxMemory = int64(64) << 40

const minMemory = int64(1) << 20

// checkResources holds amounts against what a guest can have. Types, ranges of
// whole numbers and words are the schema's; what is here would, as rules of the
// schema, be run at each write of a VM's status too.
func checkResources(r *v1alpha1.VirtualMachineResources, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	memory, whole := wholeBytes(r.Memory)
	switch {
	case !whole || memory < minMemory:
		errs = append(errs, field.Invalid(at.Child("memory"), r.Memory.String(), "must be a whole number of bytes, at least 1Mi, written like 512Mi or 4Gi"))
	case memory > maxMemory:
		errs = append(errs, field.Invalid(at.Child("memory"), r.Memory.String(), "must be at most 64Ti"))
	case r.Hugepages != nil && memory%pageBytes(r.Hugepages.PageSize) != 0:
		errs = append(errs, field.Invalid(at.Child("memory"), r.Memory.String(),
			fmt.Sprintf("must be a multiple of hugepages.pageSize (%s): round memory up to whole pages, or choose a smaller page size", r.Hugepages.PageSize)))
	}
	errs = append(errs, checkGrowth(r, at)...)
	if r.Threads != "" && r.CPUPolicy != v1alpha1.CPUDedicated {
		errs = append(errs, field.Invalid(at.Child("threads"), r.Threads, "is only for dedicated CPUs: set cpuPolicy to dedicated, or leave threads out"))
	}
	if r.Overhead != nil {
		if overhead, whole := wholeBytes(*r.Overhead); !whole || overhead < 0 || overhead > maxMemory {
			errs = append(errs, field.Invalid(at.Child("overhead"), r.Overhead.String(), "must be a whole number of bytes, at most 64Ti, written like 300Mi"))
		}
	}
	return errs
}

// wholeBytes is a quantity's value; false when it is no whole number of bytes, or
// more than can be counted.
func wholeBytes(q resource.Quantity) (int64, bool) {
	value := q.Value()
	return value, q.Cmp(*resource.NewQuantity(value, q.Format)) == 0
}

func pageBytes(size v1alpha1.PageSize) int64 {
	if size == v1alpha1.PageSize1Gi {
		return 1 << 30
	}
	return 2 << 20
}
