package libvirt

// Binding is what of the host a domain is tied to.
type Binding struct {
	// VCPUs has the host CPUs that each pinned vCPU may run on, in Linux list
	// format, by the vCPU's number. One that is not in it runs anywhere.
	VCPUs map[int]string
	// Emulator is the host CPUs that QEMU's other threads may run on, in Linux
	// list format; empty when they run anywhere.
	Emulator string
	// Cells is the guest's memory that lies in one host cell and in no other,
	// by ascending cell.
	Cells []BoundMemory
}

// BoundMemory is guest memory that lies in one host cell.
type BoundMemory struct {
	Cell int32
	// Memory is in bytes.
	Memory int64
}
