package libvirt

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Device is a PCI device of the host.
type Device struct {
	// Address is such as 0000:3b:00.0.
	Address string
	// Vendor and Product are the PCI ids in four hexadecimal digits: 10de, 20b0.
	Vendor, Product string
	// PhysicalFunction is set for an SR-IOV virtual function: the address of
	// the device that it is a part of.
	PhysicalFunction string
	// Cell is the NUMA cell that the device is near to; nil when the host does
	// not say.
	Cell *int32
}

// listDevices reads the host's PCI devices. A libvirt without a driver for
// them, or whose daemon for them is not there, has none.
func listDevices(conn *lv.Connect) ([]Device, error) {
	all, err := conn.ListAllNodeDevices(lv.CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV)
	var e lv.Error
	if errors.As(err, &e) && (e.Code == lv.ERR_NO_SUPPORT || e.Code == lv.ERR_SYSTEM_ERROR) {
		if alive, err := conn.IsAlive(); err == nil && alive {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		for i := range all {
			_ = all[i].Free()
		}
	}()
	var out []Device
	for i := range all {
		doc, err := all[i].GetXMLDesc(0)
		if errors.As(err, &e) && e.Code == lv.ERR_NO_NODE_DEVICE {
			continue // it was unplugged while we listed
		}
		if err != nil {
			return nil, err
		}
		device, is, err := parseDevice(doc)
		if err != nil {
			return nil, err
		}
		if is {
			out = append(out, device)
		}
	}
	slices.SortFunc(out, func(a, b Device) int { return cmp.Compare(a.Address, b.Address) })
	return out, nil
}

// parseDevice reads a node device; false when it is no PCI device.
func parseDevice(doc string) (Device, bool, error) {
	var d libvirtxml.NodeDevice
	if err := d.Unmarshal(doc); err != nil {
		return Device{}, false, fmt.Errorf("reading a device of the host: %w", err)
	}
	pci := d.Capability.PCI
	if pci == nil {
		return Device{}, false, nil
	}
	out := Device{
		Address: pciAddress(pci.Domain, pci.Bus, pci.Slot, pci.Function),
		Vendor:  strings.TrimPrefix(pci.Vendor.ID, "0x"), Product: strings.TrimPrefix(pci.Product.ID, "0x"),
	}
	if pci.NUMA != nil && pci.NUMA.Node >= 0 {
		cell := int32(pci.NUMA.Node)
		out.Cell = &cell
	}
	for _, c := range pci.Capabilities {
		if f := c.PhysFunction; f != nil {
			out.PhysicalFunction = pciAddress(f.Address.Domain, f.Address.Bus, f.Address.Slot, f.Address.Function)
		}
	}
	return out, true, nil
}

func pciAddress(domain, bus, slot, function *uint) string {
	value := func(n *uint) uint {
		if n == nil {
			return 0
		}
		return *n
	}
	return fmt.Sprintf("%04x:%02x:%02x.%x", value(domain), value(bus), value(slot), value(function))
}
