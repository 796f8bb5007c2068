package v1alpha1

// GuestDisk is a disk of spec.disks that a guest has.
type GuestDisk struct {
	// name is that of the entry in spec.disks.
	Name string `json:"name"`
	// diskName is the VirtualDisk; empty for a cdrom whose tray is empty.
	// +optional
	DiskName string `json:"diskName,omitempty"`
	// target is libvirt's name for the device, such as vdb; the guest may have
	// another for it.
	// +optional
	Target string `json:"target,omitempty"`
}

// Conditions and reasons of a VirtualMachine whose spec.disks is edited while it
// has a host.
const (
	// ConditionDiskClaimsPending is True while the VM has a host and spec.disks names
	// a VirtualDisk that it cannot have there; absent otherwise. Written by
	// vm-scheduler.
	ConditionDiskClaimsPending = "DiskClaimsPending"
	// ReasonDiskMissing, ReasonDiskInUse, ReasonDiskElsewhere and ReasonNoSpace are
	// its reasons: there is no such disk, or it is being deleted; another VM has it;
	// it is at home on another host; its pool has too little space or is not there.
	ReasonDiskMissing   = "DiskMissing"
	ReasonDiskInUse     = "DiskInUse"
	ReasonDiskElsewhere = "DiskElsewhere"
	ReasonNoSpace       = "NoSpace"

	// ConditionDisksPending is True while a guest that runs has not the disks that
	// spec.disks says and is to come to have them without a restart; absent
	// otherwise. Written by the executor, and not before a few seconds have passed.
	ConditionDisksPending = "DisksPending"
	// ReasonHotPlugFailed: libvirt or QEMU refused; tried again with back-off.
	// ReasonWaitingForGuest: the guest was asked to give a disk up, or to open a
	// tray, and has not. ReasonWaitingForDisks, which status.host has too: a disk is
	// not ready, or not the VM's.
	ReasonHotPlugFailed   = "HotPlugFailed"
	ReasonWaitingForGuest = "WaitingForGuest"
)
