package libvirt

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
