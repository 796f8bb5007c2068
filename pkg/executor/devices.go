package executor

import (
	"cmp"
	"slices"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/libvirt"
)

// maxDevices is the bound in the API's schema.
const maxDevices = 512

// offeredDevices are the host's devices that the configuration offers, by
// address, but for those held by domains that no VM accounts for. Where two
// entries name a device the first counts. A physical function is left out while
// virtual functions of it are offered: passing it through would end them.
func offeredDevices(config []hostconfig.DeviceConfiguration, devices []libvirt.Device, held map[string]bool) []v1alpha1.HostDevice {
	var out []v1alpha1.HostDevice
	parents := map[string]bool{}
	for _, d := range devices {
		i := slices.IndexFunc(config, func(c hostconfig.DeviceConfiguration) bool { return c.Offers(d) })
		if i < 0 {
			continue
		}
		if d.PhysicalFunction != "" {
			parents[d.PhysicalFunction] = true
		}
		if held[d.Address] {
			continue
		}
		out = append(out, v1alpha1.HostDevice{
			Name: config[i].Name, Address: d.Address, Cell: d.Cell,
			Vendor: d.Vendor, Product: d.Product, PhysicalFunction: d.PhysicalFunction,
		})
	}
	out = slices.DeleteFunc(out, func(d v1alpha1.HostDevice) bool { return parents[d.Address] })
	slices.SortFunc(out, func(a, b v1alpha1.HostDevice) int { return cmp.Compare(a.Address, b.Address) })
	return out[:min(len(out), maxDevices)]
}
