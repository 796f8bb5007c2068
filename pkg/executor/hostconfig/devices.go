package hostconfig

import (
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/libvirt"
)

// DeviceConfiguration offers PCI devices under a name, by which VMs ask for
// them: those with these ids, or those at these addresses. Several may offer
// under one name.
type DeviceConfiguration struct {
	// name is such as gpu or 25g-vf.
	Name string `json:"name"`
	// vendor and product are PCI ids in hexadecimal, as lspci -n shows them:
	// 10de, 20b0.
	Vendor  string `json:"vendor,omitempty"`
	Product string `json:"product,omitempty"`
	// addresses are PCI addresses: 0000:3b:02.0.
	Addresses []string `json:"addresses,omitempty"`
}

// Offers says whether the device is one of those.
func (c *DeviceConfiguration) Offers(d libvirt.Device) bool {
	if c.Vendor != "" {
		return d.Vendor == c.Vendor && d.Product == c.Product
	}
	for _, address := range c.Addresses {
		if address == d.Address {
			return true
		}
	}
	return false
}

var (
	// pciID and pciAddress are as libvirt and sysfs write them.
	pciID      = regexp.MustCompile(`^[0-9a-f]{4}$`)
	pciAddress = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
)

func validPCIID(path *field.Path, id string) field.ErrorList {
	if pciID.MatchString(id) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, id, "must be four hexadecimal digits in lower case, as lspci -n shows them: 10de")}
}

func validPCIAddress(path *field.Path, address string) field.ErrorList {
	if pciAddress.MatchString(address) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, address, "must be a whole PCI address in lower case, as lspci -D shows it: 0000:3b:02.0")}
}

// validateDevices finds, with what is wrong, the devices that two entries offer
// as far as that can be seen without the host.
func validateDevices(devices []DeviceConfiguration, path *field.Path) field.ErrorList {
	type ids struct{ vendor, product string }
	var errs field.ErrorList
	addresses, kinds := map[string]bool{}, map[ids]bool{}
	for i := range devices {
		d, at := &devices[i], path.Index(i)
		for _, msg := range validation.IsDNS1123Subdomain(d.Name) {
			errs = append(errs, field.Invalid(at.Child("name"), d.Name, msg))
		}
		if len(d.Name) > validation.DNS1123LabelMaxLength {
			errs = append(errs, field.TooLong(at.Child("name"), d.Name, validation.DNS1123LabelMaxLength))
		}
		byID := d.Vendor != "" || d.Product != ""
		switch {
		case byID && len(d.Addresses) > 0:
			errs = append(errs, field.Forbidden(at.Child("addresses"), "devices are found by vendor and product or by their addresses: give one of the two"))
		case byID:
			errs = append(errs, validPCIID(at.Child("vendor"), d.Vendor)...)
			errs = append(errs, validPCIID(at.Child("product"), d.Product)...)
			if kind := (ids{d.Vendor, d.Product}); kinds[kind] {
				errs = append(errs, field.Duplicate(at.Child("product"), d.Vendor+":"+d.Product))
			} else {
				kinds[kind] = true
			}
		case len(d.Addresses) == 0:
			errs = append(errs, field.Required(at, "say which devices: give vendor and product, or addresses"))
		}
		for j, address := range d.Addresses {
			here := at.Child("addresses").Index(j)
			errs = append(errs, validPCIAddress(here, address)...)
			if addresses[address] {
				errs = append(errs, field.Duplicate(here, address))
			}
			addresses[address] = true
		}
	}
	return errs
}
