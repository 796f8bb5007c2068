package executor

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/cpuset"

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
	return errs
}

func (h *HostConfiguration) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Subdomain(h.NodeName) {
		errs = append(errs, field.Invalid(path.Child("nodeName"), h.NodeName, msg))
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
	if h.Simulated != nil {
		if h.LibvirtURI != "" {
			errs = append(errs, field.Forbidden(path.Child("libvirtURI"), "a simulated host has a libvirt of its own: remove libvirtURI or simulated"))
		}
		errs = append(errs, h.Simulated.validate(path.Child("simulated"))...)
	}
	return errs
}

func (s *SimulatedConfiguration) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.CPUs < 1 {
		errs = append(errs, field.Invalid(path.Child("cpus"), s.CPUs, "must be at least 1"))
	}
	if s.Memory.Sign() <= 0 {
		errs = append(errs, field.Invalid(path.Child("memory"), s.Memory.String(), "must be more than 0"))
	}
	cells := path.Child("cells")
	var memory int64
	var all cpuset.CPUSet
	seen := map[int32]bool{}
	for i, c := range s.Cells {
		at := cells.Index(i)
		if c.ID < 0 {
			errs = append(errs, field.Invalid(at.Child("id"), c.ID, "must not be negative"))
		}
		if seen[c.ID] {
			errs = append(errs, field.Duplicate(at.Child("id"), c.ID))
		}
		seen[c.ID] = true
		set, err := cpuset.Parse(c.CPUs)
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(at.Child("cpus"), c.CPUs, "must be a list such as 0-3,8-11"))
		case !set.Intersection(all).IsEmpty():
			errs = append(errs, field.Invalid(at.Child("cpus"), c.CPUs, "a CPU is in one cell only"))
		}
		all = all.Union(set)
		errs = append(errs, notNegative(at.Child("memory"), c.Memory)...)
		if c.Hugepages2Mi < 0 {
			errs = append(errs, field.Invalid(at.Child("hugepages2Mi"), c.Hugepages2Mi, "must not be negative"))
		}
		if c.Hugepages1Gi < 0 {
			errs = append(errs, field.Invalid(at.Child("hugepages1Gi"), c.Hugepages1Gi, "must not be negative"))
		}
		if pools := c.Hugepages2Mi<<21 + c.Hugepages1Gi<<30; pools > c.Memory.Value() {
			errs = append(errs, field.Invalid(at.Child("memory"), c.Memory.String(), fmt.Sprintf("is less than the cell's hugepages (%d bytes)", pools)))
		}
		memory += c.Memory.Value()
	}
	if len(s.Cells) > 0 && memory > s.Memory.Value() {
		errs = append(errs, field.Invalid(path.Child("memory"), s.Memory.String(), fmt.Sprintf("is less than that of the cells together (%d bytes)", memory)))
	}
	if len(s.Cells) > 0 && int64(all.Size()) != s.CPUs {
		errs = append(errs, field.Invalid(path.Child("cpus"), s.CPUs, fmt.Sprintf("the cells have %d CPUs together", all.Size())))
	}
	return errs
}

func notNegative(path *field.Path, q resource.Quantity) field.ErrorList {
	if q.Sign() >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, q.String(), "must not be negative")}
}
