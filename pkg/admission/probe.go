package admission

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// checkProbe refuses a probe that names a port or a card that the VM has not. What
// each field may be is in the API's schema.
func checkProbe(spec *v1alpha1.VirtualMachineSpec) (errs field.ErrorList) {
	p := spec.ReadinessProbe
	if p == nil {
		return nil
	}
	at := field.NewPath("spec", "readinessProbe")
	port := func(at *field.Path, port intstr.IntOrString) {
		if _, is := spec.GuestPortOf(port); !is {
			errs = append(errs, field.Invalid(at.Child("port"), port.String(), "spec.ports has no TCP port of this name: add it there, or give the number"))
		}
	}
	if p.TCPSocket != nil {
		port(at.Child("tcpSocket"), p.TCPSocket.Port)
	}
	if p.HTTPGet != nil {
		port(at.Child("httpGet"), p.HTTPGet.Port)
	}
	switch {
	case p.InterfaceName != "":
		if !slices.ContainsFunc(spec.Interfaces, func(i v1alpha1.VirtualMachineInterface) bool { return i.Name == p.InterfaceName }) {
			errs = append(errs, field.Invalid(at.Child("interfaceName"), p.InterfaceName, "spec.interfaces has no card of this name: name one that is there, or leave it out"))
		}
	case len(spec.Interfaces) == 0:
		errs = append(errs, field.Invalid(field.NewPath("spec", "interfaces"), "", "a VirtualMachine with spec.readinessProbe needs a card whose address is known: add one on a VirtualNetwork, or leave the probe out"))
	}
	return errs
}
