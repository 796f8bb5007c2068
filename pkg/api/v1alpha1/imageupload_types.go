package v1alpha1

import "cmp"

// UploadOrigin is a client that sends an image's bytes to one host. That host keeps
// them until the object is deleted, and other hosts fetch them from there.
type UploadOrigin struct {
	// nodeName is the host. Default: vm-scheduler chooses one.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// poolName is the storage pool there, one of files. Default: default.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][-A-Za-z0-9_.]*$`
	// +kubebuilder:validation:MaxLength=63
	// +optional
	PoolName string `json:"poolName,omitempty"`
}

// Pool is the storage pool that the image is uploaded into.
func (u *UploadOrigin) Pool() string { return cmp.Or(u.PoolName, DefaultPoolName) }

// ImageUpload is an image to be written.
type ImageUpload struct {
	// imageName is a VirtualDiskImage of the ticket's namespace whose source is
	// upload.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ImageName string `json:"imageName"`
}

// Reasons of an image that is uploaded.
const (
	// ReasonAwaitingUpload: nobody has uploaded it yet.
	ReasonAwaitingUpload = "AwaitingUpload"
	// ReasonImageUploading: it is being uploaded.
	ReasonImageUploading = "Uploading"
	// ReasonUploadBrokenOff: a part of it has been uploaded.
	ReasonUploadBrokenOff = "UploadBrokenOff"
	// ReasonImageLost: the host that kept it has it no more.
	ReasonImageLost = "ImageLost"
	// ReasonNoUploadHost: there is no host that it could be uploaded to.
	ReasonNoUploadHost = "NoUploadHost"
)

// UploadedTo says whether the image is one that clients upload, and that the host
// keeps in the pool.
func (i *VirtualDiskImage) UploadedTo(node, pool string) bool {
	u := i.Spec.Source.Upload
	return u != nil && node != "" && i.Status.NodeName == node && u.Pool() == pool
}
