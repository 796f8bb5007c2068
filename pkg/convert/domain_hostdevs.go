package convert

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// setHostDevices gives the guest the PCI devices of the placement, behind those
// that the user wrote, in order of address. They are managed: libvirt takes each
// from its host driver for as long as the guest runs.
func setHostDevices(devices *libvirtxml.DomainDeviceList, placed []v1alpha1.PlacedDevice) (errs field.ErrorList) {
	at := placementPath.Child("devices")
	seen := make(map[string]bool, len(placed))
	for i, d := range placed {
		if parsePCIAddress(d.Address) == nil {
			errs = append(errs, field.Invalid(at.Index(i).Child("address"), d.Address, "must be a PCI address such as 0000:3b:00.0"))
		}
		if seen[d.Address] {
			errs = append(errs, field.Duplicate(at.Index(i).Child("address"), d.Address))
		}
		seen[d.Address] = true
	}
	if len(errs) > 0 {
		return errs
	}
	// Addresses are of one width, so their order as text is that of the numbers.
	placed = slices.Clone(placed)
	slices.SortFunc(placed, func(a, b v1alpha1.PlacedDevice) int { return cmp.Compare(a.Address, b.Address) })
	for _, d := range placed {
		devices.Hostdevs = append(devices.Hostdevs, libvirtxml.DomainHostdev{
			Managed: "yes",
			SubsysPCI: &libvirtxml.DomainHostdevSubsysPCI{
				Source: &libvirtxml.DomainHostdevSubsysPCISource{Address: parsePCIAddress(d.Address)},
			},
		})
	}
	return nil
}

// pciAddress is domain, bus, slot (of 5 bits) and function in hexadecimal, as
// Linux writes them.
var pciAddress = regexp.MustCompile(`^([0-9a-f]{4}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$`)

// parsePCIAddress is nil when the text is no such address.
func parsePCIAddress(text string) *libvirtxml.DomainAddressPCI {
	parts := pciAddress.FindStringSubmatch(text)
	if parts == nil {
		return nil
	}
	var numbers [4]uint
	for i, part := range parts[1:] {
		// The expression lets through nothing that is not such a number.
		n, _ := strconv.ParseUint(part, 16, 16)
		numbers[i] = uint(n)
	}
	return &libvirtxml.DomainAddressPCI{
		Domain: &numbers[0], Bus: &numbers[1], Slot: &numbers[2], Function: &numbers[3],
	}
}
