package intake

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// life says when the guest is started again. libvirt leaves one that ended as it
// is; the default of a VirtualMachine would start it again.
func (s *state) life() {
	spec := &s.vm.Spec
	if spec.RunPolicy != "" {
		return
	}
	path := field.NewPath("spec", "runPolicy")
	switch s.domain.OnCrash {
	case "restart", "coredump-restart", "rename-restart":
		spec.RunPolicy = v1alpha1.RunOnFailure
		s.changed(path, "set to OnFailure", "on_crash is "+s.domain.OnCrash+": a guest that shuts itself down stays off")
	default:
		spec.RunPolicy = v1alpha1.RunManual
		s.changed(path, "set to Manual", "libvirt leaves a guest that ended as it is; set Always or OnFailure to have Domus start it again")
	}
}
