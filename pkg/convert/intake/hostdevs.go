package intake

import (
	"fmt"

	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// hostdevs asks for PCI devices by the name under which hosts offer them.
func (s *state) hostdevs() {
	for i, dev := range s.domain.Devices.Hostdevs {
		here := at("devices", "hostdevs").Index(i)
		address := pciAddress(dev)
		name := s.opts.Devices[address]
		if address == "" || name == "" {
			continue
		}
		s.ask(name)
		s.drop("hostdevs", i)
		s.changed(here, fmt.Sprintf("%s became one %s of spec.resources.devices", address, name), "hosts offer devices by name; which one, the placement decides")
		if dev.Address != nil {
			s.changed(here.Child("address"), "removed", "libvirt chooses where in the guest the device is: it may have another name there")
		}
	}
}

func pciAddress(dev libvirtxml.DomainHostdev) string {
	if dev.SubsysPCI == nil || dev.SubsysPCI.Source == nil || dev.SubsysPCI.Source.Address == nil {
		return ""
	}
	a := dev.SubsysPCI.Source.Address
	part := func(n *uint) uint {
		if n == nil {
			return 0
		}
		return *n
	}
	return fmt.Sprintf("%04x:%02x:%02x.%x", part(a.Domain), part(a.Bus), part(a.Slot), part(a.Function))
}

// ask adds one device of a name to what is asked for.
func (s *state) ask(name string) {
	devices := &s.vm.Spec.Resources.Devices
	for i := range *devices {
		if (*devices)[i].Name == name {
			(*devices)[i].Count = max((*devices)[i].Count, 1) + 1
			return
		}
	}
	*devices = append(*devices, v1alpha1.DeviceRequest{Name: name, Count: 1})
}
