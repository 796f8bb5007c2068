package hostconfig

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/libvirt"
)

// Validate says what is wrong with a defaulted configuration.
func (c *Configuration) Validate() field.ErrorList {
	var errs field.ErrorList
	hosts := field.NewPath("hosts")
	if len(c.Hosts) == 0 {
		errs = append(errs, field.Required(hosts, "name at least one host"))
	}
	seen := map[string]bool{}
	for i := range c.Hosts {
		path := hosts.Index(i)
		errs = append(errs, c.Hosts[i].validate(path)...)
		if name := c.Hosts[i].NodeName; seen[name] {
			errs = append(errs, field.Duplicate(path.Child("nodeName"), name))
		}
		seen[c.Hosts[i].NodeName] = true
	}
	return append(errs, c.validateServing()...)
}

func (h *HostConfiguration) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Subdomain(h.NodeName) {
		errs = append(errs, field.Invalid(path.Child("nodeName"), h.NodeName, msg))
	}
	if h.RegisterNode && len(h.NodeName) > validation.LabelValueMaxLength {
		errs = append(errs, field.TooLong(path.Child("nodeName"), "", validation.LabelValueMaxLength))
	}
	errs = append(errs, metav1validation.ValidateLabels(h.Labels, path.Child("labels"))...)
	errs = append(errs, notNegative(path.Child("reserve", "cpu"), h.Reserve.CPU)...)
	errs = append(errs, notNegative(path.Child("reserve", "memory"), h.Reserve.Memory)...)
	if h.CPUOvercommit.Sign() <= 0 {
		errs = append(errs, field.Invalid(path.Child("cpuOvercommit"), h.CPUOvercommit.String(), "must be more than 0: 1 offers as many virtual CPUs as there are physical ones"))
	}
	types := []string{libvirt.DomainTypeAuto, libvirt.DomainTypeKVM, libvirt.DomainTypeQEMU}
	switch h.DomainType {
	case types[0], types[1], types[2]:
	default:
		errs = append(errs, field.NotSupported(path.Child("domainType"), h.DomainType, types))
	}
	errs = append(errs, h.validateCertificateDir(path.Child("certificateDir"))...)
	errs = append(errs, h.validateMode(path)...)
	errs = append(errs, h.validateCNI(path.Child("cni"))...)
	errs = append(errs, h.validateImages(path)...)
	if h.Transfer != nil {
		errs = append(errs, h.Transfer.validate(path.Child("transfer"))...)
	}
	errs = append(errs, validateDevices(h.Devices, path.Child("devices"))...)
	if h.Simulated != nil {
		if h.LibvirtURI != "" {
			errs = append(errs, field.Forbidden(path.Child("libvirtURI"), "a simulated host has a libvirt of its own: remove libvirtURI or simulated"))
		}
		errs = append(errs, h.Simulated.validate(path.Child("simulated"))...)
	}
	return errs
}

func notNegative(path *field.Path, q resource.Quantity) field.ErrorList {
	if q.Sign() >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, q.String(), "must not be negative")}
}
