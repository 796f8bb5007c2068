package v1alpha1

import (
	"regexp"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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
	// image is a VirtualDiskImage of the namespace.
	// +optional
	Image *ImageSource `json:"image,omitempty"`
	// disk is a copy of another disk of the namespace, as it is when it is made.
	// +optional
	Disk *DiskCloneSource `json:"disk,omitempty"`
}

// BlankSource asks for an empty disk.
type BlankSource struct{}

// ImageClone says how a disk has what its image has.
// +kubebuilder:validation:Enum=Full;Backing
type ImageClone string

const (
	// CloneFull is a copy.
	CloneFull ImageClone = "Full"
	// CloneBacking is a qcow2 volume that reads from the image what has not been
	// written: it is there at once, and the image is kept beside it.
	CloneBacking ImageClone = "Backing"
)

// ImageSource names an image.
type ImageSource struct {
	// name of a VirtualDiskImage of the same namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// clone says how the disk has what the image has.
	// +kubebuilder:default=Full
	// +optional
	Clone ImageClone `json:"clone,omitempty"`
}

// DiskCloneSource names a VirtualDisk of the same namespace.
type DiskCloneSource struct {
	// name of the VirtualDisk.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// VirtualDiskSpec is what the user wants. What of it may not change is in
// manifests/base/policy/virtualdisk-spec.yaml.
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

	// poolName is the storage pool of libvirt's that the disk is in. Default default.
	// A disk that is in another one, and that no VM has, is moved there.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][-A-Za-z0-9_.+]*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
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
	// then there is no volume. A disk that is on another one, and that no VM has, is
	// moved there.
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

// DiskPhase is a disk's life in one word, for people; programs read conditions.
type DiskPhase string

const (
	// DiskPending means that the disk has no volume yet: no VM that uses it has
	// been placed, or its host has not made it.
	DiskPending DiskPhase = "Pending"
	// DiskCreating means that its host is making the volume.
	DiskCreating DiskPhase = "Creating"
	// DiskReady means that the volume is there.
	DiskReady DiskPhase = "Ready"
	// DiskFailed means that something is wrong that does not mend by itself.
	DiskFailed DiskPhase = "Failed"
	// DiskDeleting means that the disk is deleted and its volume not yet gone.
	DiskDeleting DiskPhase = "Deleting"
)

// DiskClaim is the VM that has a disk to itself.
type DiskClaim struct {
	// name and uid are of a VirtualMachine in the disk's namespace.
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// Condition types and reasons of a VirtualDisk.
const (
	// ConditionDiskReady is True while the volume is there, whole. Written by the
	// host.
	ConditionDiskReady = "Ready"
	// ConditionDiskSized is False while the volume is smaller than spec.size.
	// Written by the host.
	ConditionDiskSized = "Sized"

	// ReasonVolumeReady: the volume is there, and of its size.
	ReasonVolumeReady = "VolumeReady"
	// ReasonCreating: it is being made.
	ReasonCreating = "Creating"
	// ReasonPoolMissing: the host has no such pool, or it is not active.
	ReasonPoolMissing = "PoolMissing"
	// ReasonPoolFull: there is too little space.
	ReasonPoolFull = "PoolFull"
	// ReasonSourceMissing, ReasonSourceElsewhere and ReasonSourceInUse: what it
	// shall begin with is not there, on another host, or being written.
	ReasonSourceMissing   = "SourceMissing"
	ReasonSourceElsewhere = "SourceElsewhere"
	ReasonSourceInUse     = "SourceInUse"
	// ReasonSourceLarger: what it shall begin with does not fit into it.
	ReasonSourceLarger = "SourceLarger"
	// ReasonInvalidVolume: no such volume can be in the pool.
	ReasonInvalidVolume = "InvalidVolume"
	// ReasonVolumeLost: the volume was there and is gone.
	ReasonVolumeLost = "VolumeLost"
	// ReasonVolumeFailed: libvirt could not make or resize it; tried again.
	ReasonVolumeFailed = "VolumeFailed"
	// ReasonInUse: the disk is deleted and a VM uses it.
	ReasonInUse = "InUse"
)

// VirtualDiskStatus is what Domus knows. Each field has one writer: the
// vm-scheduler's leader, or the executor of the host in nodeName.
type VirtualDiskStatus struct {
	// observedGeneration is the metadata.generation that the host has acted upon.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase is the disk's life in one word. Writer: the host.
	// +kubebuilder:default=Pending
	// +optional
	Phase DiskPhase `json:"phase,omitempty"`

	// nodeName is the disk's home: the host that looks after the volume. A VM that
	// uses the disk is placed there, or on a host with the same store. Writer:
	// vm-scheduler.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`

	// poolName is the pool there. Writer: vm-scheduler.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	PoolName string `json:"poolName,omitempty"`

	// store names what the pool is in when other hosts may have it too, as
	// Hypervisor.status.pools does. Writer: vm-scheduler.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Store string `json:"store,omitempty"`

	// claimedBy is the VM that has the disk to itself, until another one that is
	// placed takes it. Writer: vm-scheduler.
	// +optional
	ClaimedBy *DiskClaim `json:"claimedBy,omitempty"`

	// moveTo is where the disk is being moved to. Writer: vm-scheduler.
	// +optional
	MoveTo *DiskTarget `json:"moveTo,omitempty"`

	// moveProgress is how that goes. Writer: the host in nodeName.
	// +optional
	MoveProgress *DiskMoveProgress `json:"moveProgress,omitempty"`

	// volumeName is the volume's name in the pool. Writer: the host.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	VolumeName string `json:"volumeName,omitempty"`

	// format is the volume's. Writer: the host.
	// +optional
	Format DiskFormat `json:"format,omitempty"`

	// capacity is what a guest sees, in bytes. Writer: the host.
	// +optional
	Capacity int64 `json:"capacity,omitempty"`

	// allocation is about what the volume takes of its pool, in bytes. Writer: the
	// host, when it has changed by much.
	// +optional
	Allocation int64 `json:"allocation,omitempty"`

	// conditions: Ready and Sized, the host's; InPlace, vm-scheduler's.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:default={}
	// +optional
	Conditions []metav1.Condition `json:"conditions"`
}

// VirtualDisk is a volume in a libvirt storage pool.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vdisk,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.spec.size`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.poolName`
// +kubebuilder:printcolumn:name="Claimed-By",type=string,JSONPath=`.status.claimedBy.name`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.status=="False")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.status=="False")].message`,priority=1
// +kubebuilder:printcolumn:name="Deleted",type=date,JSONPath=`.metadata.deletionTimestamp`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualDisk struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualDiskSpec `json:"spec"`
	// +structType=atomic
	// +kubebuilder:default={"phase":"Pending"}
	// +optional
	Status VirtualDiskStatus `json:"status"`
}

// VirtualDiskList is a list of VirtualDisks.
// +kubebuilder:object:root=true
type VirtualDiskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualDisk `json:"items"`
}

// Pool is the pool that the disk has, or is to have.
func (d *VirtualDisk) Pool() string {
	switch {
	case d.Status.PoolName != "":
		return d.Status.PoolName
	case d.Spec.PoolName != "":
		return d.Spec.PoolName
	}
	return DefaultPoolName
}

// DefaultPoolName is the storage pool of a disk that names none.
const DefaultPoolName = "default"

// VolumeMark stands in the names of all volumes of VirtualDisks before what
// tells one life of an object from another.
const VolumeMark = ".vd-"

// VolumeName is the name of the disk's volume: namespace and name, between which
// the first dot stands, and after VolumeMark the first 12 digits of the object's
// UID. An object of the same name that is created later has another volume.
func (d *VirtualDisk) VolumeName() string {
	return d.Namespace + "." + d.Name + VolumeMark + digits(d.UID)
}

// digits are the first 12 of a UID.
func digits(uid types.UID) string {
	var out []byte
	for i := 0; i < len(uid) && len(out) < 12; i++ {
		if uid[i] != '-' {
			out = append(out, uid[i])
		}
	}
	return string(out)
}

// volumeOfDisk is the name of a volume that may be a VirtualDisk's.
var volumeOfDisk = regexp.MustCompile(`^([a-z0-9-]+)\.([a-z0-9.-]+)` + regexp.QuoteMeta(VolumeMark) + `[0-9a-f]{12}$`)

// DiskOfVolume reads namespace and name of the VirtualDisk out of its volume's name,
// as VolumeName makes it; false for any other volume.
func DiskOfVolume(volume string) (namespace, name string, ok bool) {
	parts := volumeOfDisk.FindStringSubmatch(volume)
	if parts == nil {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// Claim is what the disk takes of its pool at most, in bytes, whatever has been
// written: all that its volume has, and before there is one all that it shall
// have. What it is to grow by is no claim before its host has granted it: anybody
// may wish for more than there is. It is 0 for a copy that has not been made and
// is to be as large as what it copies.
func (d *VirtualDisk) Claim() int64 {
	if d.Status.Capacity > 0 || d.Spec.Size == nil {
		return d.Status.Capacity
	}
	return d.Spec.Size.Value()
}

// Exclusive says that one VM at a time has the disk.
func (d *VirtualDisk) Exclusive() bool {
	return d.Spec.AccessMode == DiskSingleWriter || d.Spec.AccessMode == ""
}

// CopyOf is the name of the VirtualDisk that this one begins as a copy of; empty
// when it does not.
func (d *VirtualDisk) CopyOf() string {
	if s := d.Spec.Source; s != nil && s.Disk != nil {
		return s.Disk.Name
	}
	return ""
}

// DiskHome is where a disk's volume is made and looked after.
type DiskHome struct{ NodeName, PoolName, Store string }

// Home is the disk's; empty for one that has none.
func (s *VirtualDiskStatus) Home() DiskHome {
	return DiskHome{NodeName: s.NodeName, PoolName: s.PoolName, Store: s.Store}
}
