package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// DiskFormat is how a disk is laid out in its volume.
// +kubebuilder:validation:Enum=qcow2;raw
type DiskFormat string

// Formats of disks.
const (
	DiskQCOW2 DiskFormat = "qcow2"
	DiskRaw   DiskFormat = "raw"
)

// DiskAccessMode says who may use a disk at a time.
// +kubebuilder:validation:Enum=SingleWriter;SharedReadOnly;SharedReadWrite
type DiskAccessMode string

const (
	// DiskSingleWriter is one VM that reads and writes.
	DiskSingleWriter DiskAccessMode = "SingleWriter"
	// DiskSharedReadOnly is any number of VMs that read, such as of an
	// installation medium.
	DiskSharedReadOnly DiskAccessMode = "SharedReadOnly"
	// DiskSharedReadWrite is several VMs that write, which keep order among
	// themselves, as a cluster file system does. The format must be raw.
	DiskSharedReadWrite DiskAccessMode = "SharedReadWrite"
)

// DiskReclaimPolicy says what becomes of the volume of a disk that is deleted.
// +kubebuilder:validation:Enum=Delete;Retain
type DiskReclaimPolicy string

const (
	// DiskDelete deletes the volume with its disk.
	DiskDelete DiskReclaimPolicy = "Delete"
	// DiskRetain leaves the volume where it is.
	DiskRetain DiskReclaimPolicy = "Retain"
)

// DiskSource is what a new disk holds: exactly one of its fields.
// +kubebuilder:validation:ExactlyOneOf=blank;image;disk
type DiskSource struct {
	// blank is nothing.
	// +optional
	Blank *BlankSource `json:"blank,omitempty"`
	// image is a copy of an image.
	// +optional
	Image *ImageSource `json:"image,omitempty"`
	// disk is a copy of another disk of the namespace, as it is when it is made.
	// +optional
	Disk *DiskCloneSource `json:"disk,omitempty"`
}

// BlankSource asks for an empty disk.
type BlankSource struct{}

// ImageSource names an image.
type ImageSource struct {
	// name of the image.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// DiskCloneSource names a VirtualDisk of the same namespace.
type DiskCloneSource struct {
	// name of the VirtualDisk.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// VirtualDiskSpec is what the user wants.
// +kubebuilder:validation:XValidation:rule="has(self.size) || has(self.source) && !has(self.source.blank)",message="size must be given for a disk that is not a copy"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.size) || has(self.size) && quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",message="size must not become less: make a smaller disk, and copy what it shall hold"
// +kubebuilder:validation:XValidation:rule="has(self.poolName) == has(oldSelf.poolName) && (!has(self.poolName) || self.poolName == oldSelf.poolName)",message="poolName must not change: make a disk in the other pool with source.disk"
// +kubebuilder:validation:XValidation:rule="has(self.format) == has(oldSelf.format) && (!has(self.format) || self.format == oldSelf.format)",message="format must not change: make a disk of the other format with source.disk"
// +kubebuilder:validation:XValidation:rule="has(self.source) == has(oldSelf.source) && (!has(self.source) || self.source == oldSelf.source)",message="source must not change: a disk is filled once"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.nodeName) || has(self.nodeName) && self.nodeName == oldSelf.nodeName",message="nodeName must not change once it is given"
// +kubebuilder:validation:XValidation:rule="self.accessMode != 'SharedReadWrite' || has(self.format) && self.format == 'raw'",message="format must be raw for accessMode SharedReadWrite: several writers would destroy a qcow2 image"
type VirtualDiskSpec struct {
	// size is what the guest sees, as a Kubernetes quantity such as 20Gi. It may
	// grow, also while a guest runs. By default it is that of the image or disk
	// that is copied; more than that makes a larger copy.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`

	// format is how the disk lies in its volume. Default qcow2 in pools of files
	// (dir, fs, netfs), raw in all others.
	// +optional
	Format DiskFormat `json:"format,omitempty"`

	// poolName is the StoragePool that the disk is in. Default: the pool that the
	// administrator has made the default.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PoolName string `json:"poolName,omitempty"`

	// source is what the disk holds when it is made. Default blank.
	// +optional
	Source *DiskSource `json:"source,omitempty"`

	// accessMode says who may use the disk at a time.
	// +kubebuilder:default=SingleWriter
	// +optional
	AccessMode DiskAccessMode `json:"accessMode,omitempty"`

	// reclaimPolicy says what becomes of the volume when the disk is deleted.
	// +kubebuilder:default=Delete
	// +optional
	ReclaimPolicy DiskReclaimPolicy `json:"reclaimPolicy,omitempty"`

	// nodeName is the host that the disk is made on, in a pool that hosts do not
	// share. Default: the host that the first VM with the disk is placed on; until
	// then there is no volume.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`

	// volume is libvirt's own volume for everything that the fields above do not
	// say: permissions, cluster size, encryption, ...
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +mapType=atomic
	// +optional
	Volume *runtime.RawExtension `json:"volume,omitempty"`
}

// DiskPhase is where a disk is in its life, for people.
// +kubebuilder:validation:Enum=Pending;WaitingForVM;Creating;Ready;Growing;Failed
type DiskPhase string

// Phases of a disk.
const (
	DiskPending      DiskPhase = "Pending"
	DiskWaitingForVM DiskPhase = "WaitingForVM"
	DiskCreating     DiskPhase = "Creating"
	DiskReady        DiskPhase = "Ready"
	DiskGrowing      DiskPhase = "Growing"
	DiskFailed       DiskPhase = "Failed"
)

// DiskConditionReady is True when a guest can use the disk.
const DiskConditionReady = "Ready"

// VirtualDiskStatus is where the disk is and what it holds.
type VirtualDiskStatus struct {
	// phase is the conditions in a word, for people.
	// +optional
	Phase DiskPhase `json:"phase,omitempty"`
	// nodeName is the host that has the volume; empty in a pool that hosts share,
	// and before there is a volume.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// poolName and volumeName are where the volume is, by libvirt's names.
	// +optional
	PoolName string `json:"poolName,omitempty"`
	// +optional
	VolumeName string `json:"volumeName,omitempty"`
	// format is that of the volume.
	// +optional
	Format DiskFormat `json:"format,omitempty"`
	// capacity is what the guest sees, allocation what the volume takes of its
	// pool, in bytes.
	// +optional
	Capacity int64 `json:"capacity,omitempty"`
	// +optional
	Allocation int64 `json:"allocation,omitempty"`
	// usedBy are the VMs of the namespace whose domains have the disk.
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +optional
	UsedBy []string `json:"usedBy,omitempty"`
	// observedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VirtualDisk is a volume of a StoragePool that VMs of its namespace can have as
// a disk. It is not acted upon yet: no controller makes its volume.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vdisk,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.spec.size`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.poolName`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Access",type=string,JSONPath=`.spec.accessMode`
// +kubebuilder:printcolumn:name="Used-By",type=string,JSONPath=`.status.usedBy`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.status=="False")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualDisk struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualDiskSpec `json:"spec"`
	// +optional
	Status VirtualDiskStatus `json:"status,omitzero"`
}

// VirtualDiskList is a list of VirtualDisks.
// +kubebuilder:object:root=true
type VirtualDiskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualDisk `json:"items"`
}
