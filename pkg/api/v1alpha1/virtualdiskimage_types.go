package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ImageOrigin is where the bytes of an image come from: exactly one of its fields.
// +kubebuilder:validation:ExactlyOneOf=http;file;upload
type ImageOrigin struct {
	// http is a web server.
	// +optional
	HTTP *HTTPOrigin `json:"http,omitempty"`
	// file is a file that the administrator of each host has put into the folder of
	// images there, imageDir in the configuration of vm-executor.
	// +optional
	File *FileOrigin `json:"file,omitempty"`
	// upload is a client that sends them to one host, which keeps them for all.
	// +optional
	Upload *UploadOrigin `json:"upload,omitempty"`
}

// HTTPOrigin is a file on a web server. Hosts fetch it themselves, each from
// networks that its configuration allows.
type HTTPOrigin struct {
	// url is of the file, with scheme http or https and without credentials: whoever
	// may read the object reads them.
	// +kubebuilder:validation:Pattern=`^https?://[^@\s]+$`
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
	// caBundle are certificates in PEM that the server's own is held against, in
	// place of those that the host trusts.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	CABundle []byte `json:"caBundle,omitempty"`
	// allowUnverified takes whatever the server gives where spec.checksum is not
	// set.
	// +optional
	AllowUnverified bool `json:"allowUnverified,omitempty"`
}

// FileOrigin names a file in a host's folder of images.
type FileOrigin struct {
	// name of the file, without a path.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][-A-Za-z0-9_.+]*$`
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name"`
}

// VirtualDiskImageSpec is what the image is. It may not change: other bytes are
// another image. See manifests/base/policy/virtualdiskimage-spec.yaml.
type VirtualDiskImageSpec struct {
	// source is where the bytes come from.
	Source ImageOrigin `json:"source"`
	// format is that of the bytes. It is never guessed: a raw image that begins as
	// one of another format is refused.
	Format DiskFormat `json:"format"`
	// checksum is of the bytes as they come, in hexadecimal: sha256:... or
	// sha512:.... Required for upload, and for http unless allowUnverified is set there.
	// +kubebuilder:validation:Pattern=`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`
	// +kubebuilder:validation:MaxLength=135
	// +optional
	Checksum string `json:"checksum,omitempty"`
	// size is what a guest sees of the image; one of another size is refused. It
	// lets room be counted for disks before any host has read the image.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`
}

// ImagePhase is an image's life in one word, for people; programs read conditions.
type ImagePhase string

const (
	// ImagePending means that no host has it: none has a disk to make of it.
	ImagePending ImagePhase = "Pending"
	// ImageFetching means that a host is fetching it, and none has it yet.
	ImageFetching ImagePhase = "Fetching"
	// ImageReady means that a host has it.
	ImageReady ImagePhase = "Ready"
	// ImageFailed means that hosts have tried to fetch it, in vain.
	ImageFailed ImagePhase = "Failed"
	// ImageDeleting means that it is deleted, and disks stand on it.
	ImageDeleting ImagePhase = "Deleting"
)

// Condition types and reasons of a VirtualDiskImage, and of its copies on hosts.
const (
	// ConditionImageReady is True while a host has the image. Written by
	// vm-scheduler.
	ConditionImageReady = "Ready"

	// ReasonImageCached: the host has it, whole and verified.
	ReasonImageCached = "Cached"
	// ReasonImageFetching: the host is fetching it.
	ReasonImageFetching = "Fetching"
	// ReasonImageUnneeded: no host has a disk to make of it.
	ReasonImageUnneeded = "Unneeded"
	// ReasonFetchFailed: the bytes could not be had; tried again.
	ReasonFetchFailed = "FetchFailed"
	// ReasonForbiddenOrigin: the host's configuration does not allow the origin.
	ReasonForbiddenOrigin = "ForbiddenOrigin"
	// ReasonChecksumMismatch: the bytes are not those of spec.checksum.
	ReasonChecksumMismatch = "ChecksumMismatch"
	// ReasonInvalidImage: the bytes are no image of spec.format, or one that names
	// other files, or one of another size.
	ReasonInvalidImage = "InvalidImage"
	// ReasonImageInUse: the image is deleted and disks stand on it.
	ReasonImageInUse = "InUse"

	// ReasonImageMissing, ReasonImageNotReady and ReasonImageFailed are of a
	// VirtualDisk: there is no such image; its host is fetching it, or could not.
	ReasonImageMissing  = "ImageMissing"
	ReasonImageNotReady = "ImageNotReady"
	ReasonImageFailed   = "ImageFailed"
)

// MaxImageHosts bounds the copies that an image's status tells of.
const MaxImageHosts = 64

// ImageCopy is an image in a storage pool of a host.
type ImageCopy struct {
	// nodeName is the host, and poolName the storage pool there.
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName"`
	// +kubebuilder:validation:MaxLength=63
	PoolName string `json:"poolName"`
	// phase is Fetching, Ready or Failed.
	// +kubebuilder:validation:Enum=Fetching;Ready;Failed
	Phase ImagePhase `json:"phase"`
	// volumeName is the volume's name in the pool.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	VolumeName string `json:"volumeName,omitempty"`
	// bytes is the length of the image, and virtualSize what a guest sees of it, in
	// bytes; 0 while that is not known.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// +optional
	VirtualSize int64 `json:"virtualSize,omitempty"`
	// reason and message say why it is in this phase.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason string `json:"reason,omitempty"`
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
	// since is when the phase began.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// VirtualDiskImageStatus is what Domus knows. Each entry of hosts is written by the
// executor of its host, all else by vm-scheduler's leader.
type VirtualDiskImageStatus struct {
	// observedGeneration is the metadata.generation that vm-scheduler has acted
	// upon.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is the image's life in one word.
	// +kubebuilder:default=Pending
	// +optional
	Phase ImagePhase `json:"phase,omitempty"`
	// nodeName is the host that keeps an image that is uploaded; chosen once.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// bytes is the length of the image, and virtualSize what a guest sees of it, in
	// bytes, as hosts have found it.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// +optional
	VirtualSize int64 `json:"virtualSize,omitempty"`
	// copies counts the hosts' pools that have the image, of those in hosts.
	// +optional
	Copies int32 `json:"copies,omitempty"`
	// hosts are the copies that hosts have or make; no more than fit here.
	// +listType=map
	// +listMapKey=nodeName
	// +listMapKey=poolName
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Hosts []ImageCopy `json:"hosts,omitempty"`
	// conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VirtualDiskImage is bytes that VirtualDisks of the namespace begin with.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vdi,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Format",type=string,JSONPath=`.spec.format`
// +kubebuilder:printcolumn:name="Bytes",type=integer,JSONPath=`.status.bytes`
// +kubebuilder:printcolumn:name="Virtual-Size",type=integer,JSONPath=`.status.virtualSize`
// +kubebuilder:printcolumn:name="Copies",type=integer,JSONPath=`.status.copies`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.status=="False")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.status=="False")].message`,priority=1
// +kubebuilder:printcolumn:name="Hosts",type=string,JSONPath=`.status.hosts[*].nodeName`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualDiskImage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualDiskImageSpec `json:"spec"`
	// +kubebuilder:default={"phase":"Pending"}
	// +optional
	Status VirtualDiskImageStatus `json:"status"`
}

// VirtualDiskImageList is a list of VirtualDiskImages.
// +kubebuilder:object:root=true
type VirtualDiskImageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualDiskImage `json:"items"`
}

// ImageVolumeMark stands in the names of all volumes that are images, as VolumeMark
// in those of VirtualDisks.
const ImageVolumeMark = ".vi-"

// VolumeName is the name of the image's volume in a pool that one host has.
func (i *VirtualDiskImage) VolumeName() string {
	return i.Namespace + "." + i.Name + ImageVolumeMark + digits(i.UID)
}

// ChecksumOf splits spec.checksum into the name of its algorithm and the sum in
// hexadecimal; empty when there is none.
func (i *VirtualDiskImage) ChecksumOf() (algorithm, sum string) {
	algorithm, sum, _ = strings.Cut(i.Spec.Checksum, ":")
	return algorithm, sum
}

// CopyAt is the copy in a pool of a host; nil where the status tells of none.
func (s *VirtualDiskImageStatus) CopyAt(node, pool string) *ImageCopy {
	for i := range s.Hosts {
		if s.Hosts[i].NodeName == node && s.Hosts[i].PoolName == pool {
			return &s.Hosts[i]
		}
	}
	return nil
}

// ImageOf is the name of the VirtualDiskImage that the disk begins with; empty when
// it does not.
func (d *VirtualDisk) ImageOf() string {
	if s := d.Spec.Source; s != nil && s.Image != nil {
		return s.Image.Name
	}
	return ""
}

// StandsOnImage says whether the disk is no copy of its image, but reads from it
// what has not been written.
func (d *VirtualDisk) StandsOnImage() bool {
	return d.ImageOf() != "" && d.Spec.Source.Image.Clone == CloneBacking
}
