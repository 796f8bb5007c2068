package v1alpha1

// DiskBus is what a guest reaches a disk by.
// +kubebuilder:validation:Enum=virtio;scsi;sata;usb;ide
type DiskBus string

// Buses of disks.
const (
	BusVirtio DiskBus = "virtio"
	BusSCSI   DiskBus = "scsi"
	BusSATA   DiskBus = "sata"
	BusUSB    DiskBus = "usb"
	BusIDE    DiskBus = "ide"
)

// DiskDevice is what a guest takes a disk for.
// +kubebuilder:validation:Enum=disk;cdrom
type DiskDevice string

// Kinds of disks.
const (
	DeviceDisk  DiskDevice = "disk"
	DeviceCDROM DiskDevice = "cdrom"
)

// VirtualMachineDisk is a VirtualDisk that a guest has.
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'cdrom' || !has(self.bus) || self.bus != 'virtio'",fieldPath=".bus",message="a cdrom is on sata, scsi, usb or ide; leave it out for sata"
// +kubebuilder:validation:XValidation:rule="has(self.diskName) || has(self.type) && self.type == 'cdrom'",fieldPath=".diskName",message="name a VirtualDisk; only a cdrom may be empty"
// +kubebuilder:validation:XValidation:rule="!has(self.forceEject) || !self.forceEject || has(self.type) && self.type == 'cdrom'",fieldPath=".forceEject",message="is for a cdrom alone"
type VirtualMachineDisk struct {
	// name tells the VM's disks apart.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// diskName is a VirtualDisk in the VM's namespace. The VM waits for it. A cdrom
	// without one has an empty tray.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=150
	// +optional
	DiskName string `json:"diskName,omitempty"`

	// type is what the guest takes it for. Default disk.
	// +optional
	Type DiskDevice `json:"type,omitempty"`

	// bus is what the guest reaches it by. Default virtio, and sata for a cdrom.
	// +optional
	Bus DiskBus `json:"bus,omitempty"`

	// readOnly keeps the guest from writing. A cdrom, and a disk that is
	// SharedReadOnly, is never written.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`

	// bootOrder is when the firmware tries to boot from it: 1 before 2. Not at
	// all when not set, unless no device of the VM has an order.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	BootOrder int32 `json:"bootOrder,omitempty"`

	// serial is the disk's serial number as the guest sees it. With bus virtio
	// Linux names it /dev/disk/by-id/virtio-SERIAL.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.+-]+$`
	// +kubebuilder:validation:MaxLength=20
	// +optional
	Serial string `json:"serial,omitempty"`

	// forceEject has a cdrom's medium changed although the guest has locked the
	// tray, as it does while the medium is mounted: what it reads from there then
	// fails. By default such a change waits for the guest.
	// +optional
	ForceEject bool `json:"forceEject,omitempty"`
}

// MayWrite says whether the guest may write the disk, as far as the VM goes.
func (d *VirtualMachineDisk) MayWrite() bool { return !d.ReadOnly && d.Type != DeviceCDROM }

// NamesDisk says whether the VM uses the VirtualDisk of its namespace.
func (vm *VirtualMachine) NamesDisk(name string) bool {
	for i := range vm.Spec.Disks {
		if vm.Spec.Disks[i].DiskName == name {
			return true
		}
	}
	return false
}

// DiskNames are the VirtualDisks that the VM uses, in the order of spec.disks.
func (vm *VirtualMachine) DiskNames() []string {
	var names []string
	for i := range vm.Spec.Disks {
		if name := vm.Spec.Disks[i].DiskName; name != "" {
			names = append(names, name)
		}
	}
	return names
}
