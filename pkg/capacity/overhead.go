package capacity

import (
	"domus.dev/domus/pkg/api/v1alpha1"
)

// What QEMU takes beside guest memory, in bytes. docs/overhead.md has what was
// measured, and how to measure it again.
const (
	overheadBase         = 56 << 20
	overheadPerCPU       = 4 << 20
	overheadDisk         = 2 << 20
	overheadInterface    = 4 << 20
	overheadIOThread     = 1 << 20
	overheadGraphics     = 32 << 20
	overheadHostDevice   = 16 << 20
	overheadFilesystem   = 64 << 20
	overheadTPM          = 12 << 20
	overheadOther        = 2 << 20
	overheadEFI          = 8 << 20
	overheadBitmapsShare = 8192
)

// Overhead is the ordinary memory, in bytes, that QEMU itself is granted for a
// guest with cpu vCPUs, memory bytes in pages of that size, and the devices.
func Overhead(cpu int32, memory int64, pages v1alpha1.PageSize, d Devices) int64 {
	// Guest memory is mapped twice: into QEMU, and by KVM for the guest. Of each
	// 4 KiB of it, QEMU and KVM note in some bits what has changed.
	return overheadBase + int64(cpu)*overheadPerCPU + 2*tables(memory, pages) + memory/overheadBitmapsShare + d.Overhead(memory, pages)
}

// Overhead is the part of the overhead that is due to the devices, for a guest
// of memory bytes in pages of that size.
func (d Devices) Overhead(memory int64, pages v1alpha1.PageSize) int64 {
	sum := int64(d.Disks)*overheadDisk + d.DiskTables +
		int64(d.Interfaces)*overheadInterface +
		int64(d.IOThreads)*overheadIOThread +
		int64(d.Graphics)*overheadGraphics + d.VideoMemory +
		d.SharedMemory +
		int64(d.HostDevices)*overheadHostDevice +
		int64(d.Filesystems)*overheadFilesystem +
		int64(d.TPMs)*overheadTPM +
		int64(d.Others)*overheadOther +
		d.TranslationCache
	if d.EFI {
		sum += overheadEFI
	}
	if d.HostDevices > 0 {
		// The IOMMU has a map of its own, one for all devices.
		sum += tables(memory, pages)
	}
	return sum
}

// tables is what one mapping of guest memory takes: 8 bytes for each page.
func tables(memory int64, pages v1alpha1.PageSize) int64 {
	switch pages {
	case v1alpha1.PageSize2Mi:
		return memory / (2 << 20) * 8
	case v1alpha1.PageSize1Gi:
		return memory / (1 << 30) * 8
	}
	return memory / (4 << 10) * 8
}
