package admission

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// checkGrowth holds how far a guest may grow against what can grow at all.
func checkGrowth(r *v1alpha1.VirtualMachineResources, at *field.Path) (errs field.ErrorList) {
	binds := r.NUMA != "" && r.NUMA != v1alpha1.NUMANone
	const inCells = "a guest that lies in NUMA cells cannot grow: leave it out, or set numa to none"
	if r.MaxCPU != 0 {
		here := at.Child("maxCPU")
		switch {
		case r.MaxCPU < r.CPU:
			errs = append(errs, field.Invalid(here, r.MaxCPU, fmt.Sprintf("must be at least cpu (%d): raise it, or leave it out for a guest that has cpu until it is started anew", r.CPU)))
		case r.CPUPolicy == v1alpha1.CPUDedicated:
			errs = append(errs, field.Forbidden(here, "dedicated CPUs are chosen when the VM is placed and no more of them are given later: leave it out, or set cpuPolicy to shared"))
		case binds:
			errs = append(errs, field.Forbidden(here, inCells))
		}
	}
	if r.MaxMemory == nil {
		return errs
	}
	here := at.Child("maxMemory")
	most, whole := wholeBytes(*r.MaxMemory)
	switch {
	case !whole || most < minMemory:
		errs = append(errs, field.Invalid(here, r.MaxMemory.String(), "must be a whole number of bytes, at least 1Mi, written like 512Mi or 4Gi"))
	case most > maxMemory:
		errs = append(errs, field.Invalid(here, r.MaxMemory.String(), "must be at most 64Ti"))
	case most < r.Memory.Value():
		errs = append(errs, field.Invalid(here, r.MaxMemory.String(), fmt.Sprintf("must be at least memory (%s): raise it, or leave it out for a guest that has memory until it is started anew", r.Memory.String())))
	case r.Hugepages != nil:
		errs = append(errs, field.Forbidden(here, "the balloon gives no hugepages back to the host: leave it out, or leave hugepages out"))
	case binds:
		errs = append(errs, field.Forbidden(here, inCells))
	}
	return errs
}

// checkBalloon refuses memory that is to grow in a guest without a balloon, or in
// one whose balloon gives nothing back.
func checkBalloon(spec *v1alpha1.VirtualMachineSpec) field.ErrorList {
	if spec.Resources.MaxMemory == nil {
		return nil
	}
	here := field.NewPath("spec", "resources", "maxMemory")
	if capacity.DevicesOf(spec).HostDevices > 0 {
		return field.ErrorList{field.Forbidden(here,
			"host devices write guest memory by themselves, and all of it is held for them: leave it out, or take the host devices out of spec.resources.devices and spec.domain.devices")}
	}
	if spec.Domain == nil {
		return nil
	}
	var domain struct {
		Devices struct {
			MemBalloon struct {
				Model string `json:"model"`
			} `json:"memBalloon"`
		} `json:"devices"`
	}
	// A domain that cannot be read is refused elsewhere.
	if json.Unmarshal(spec.Domain.Raw, &domain) == nil && domain.Devices.MemBalloon.Model == "none" {
		return field.ErrorList{field.Forbidden(here, "memory grows and shrinks by the balloon, and spec.domain.devices.memBalloon.model is none: leave one of both out")}
	}
	return nil
}
