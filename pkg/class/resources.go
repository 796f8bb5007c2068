package class

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

var resourcesPath = field.NewPath("spec", "resources")

// sole is a field of resources that is the class' alone. A field that is zero is
// not given: clients in Go cannot leave cpu and memory out.
type sole struct {
	name string
	// of points to the field.
	of func(*v1alpha1.VirtualMachineResources) any
}

var soles = []sole{
	{"cpu", func(r *v1alpha1.VirtualMachineResources) any { return &r.CPU }},
	{"memory", func(r *v1alpha1.VirtualMachineResources) any { return &r.Memory }},
	{"maxCPU", func(r *v1alpha1.VirtualMachineResources) any { return &r.MaxCPU }},
	{"maxMemory", func(r *v1alpha1.VirtualMachineResources) any { return &r.MaxMemory }},
	{"hugepages", func(r *v1alpha1.VirtualMachineResources) any { return &r.Hugepages }},
	{"numa", func(r *v1alpha1.VirtualMachineResources) any { return &r.NUMA }},
	{"cpuPolicy", func(r *v1alpha1.VirtualMachineResources) any { return &r.CPUPolicy }},
	{"threads", func(r *v1alpha1.VirtualMachineResources) any { return &r.Threads }},
}

func (s sole) equal(a, b *v1alpha1.VirtualMachineResources) bool {
	return equality.Semantic.DeepEqual(s.of(a), s.of(b))
}

// set copies the field.
func (s sole) set(to, from *v1alpha1.VirtualMachineResources) {
	reflect.ValueOf(s.of(to)).Elem().Set(reflect.ValueOf(s.of(from)).Elem())
}

// own takes out of r what was given before.
func own(r, before *v1alpha1.VirtualMachineResources) {
	none := &v1alpha1.VirtualMachineResources{}
	for _, f := range soles {
		if f.equal(r, before) {
			f.set(r, none)
		}
	}
	if equality.Semantic.DeepEqual(r.Overhead, before.Overhead) {
		r.Overhead = nil
	}
	r.Devices = slices.DeleteFunc(slices.Clone(r.Devices), func(d v1alpha1.DeviceRequest) bool {
		return slices.ContainsFunc(before.Devices, func(b v1alpha1.DeviceRequest) bool { return sameDevice(d, b) })
	})
}

// sameDevice says whether two requests ask for the same: one device where they do
// not say how many.
func sameDevice(a, b v1alpha1.DeviceRequest) bool {
	return a.Name == b.Name && max(a.Count, 1) == max(b.Count, 1)
}

func fillResources(r, given *v1alpha1.VirtualMachineResources, class string) (errs field.ErrorList) {
	none := &v1alpha1.VirtualMachineResources{}
	given = given.DeepCopy()
	for _, f := range soles {
		switch {
		case f.equal(r, none):
			f.set(r, given)
		case !f.equal(r, given):
			errs = append(errs, field.Forbidden(resourcesPath.Child(f.name), fmt.Sprintf(
				"a VirtualMachine of a class has it from there: leave it out, name another class than %q, or leave spec.class out and give all of spec.resources", class)))
		}
	}
	if r.Overhead == nil {
		r.Overhead = given.Overhead
	}
	for _, d := range given.Devices {
		named := func(own v1alpha1.DeviceRequest) bool { return own.Name == d.Name }
		if !slices.ContainsFunc(r.Devices, named) {
			r.Devices = append(r.Devices, d)
		}
	}
	return errs
}
