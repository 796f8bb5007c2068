package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DiskExport is a disk to be read.
type DiskExport struct {
	// diskName is a VirtualDisk of the ticket's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	DiskName string `json:"diskName"`
	// format is how its content is to come. Default: as it is in its volume.
	// +optional
	Format DiskFormat `json:"format,omitempty"`
}

// TransferTicketSpec says what its bearer may do, and never changes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: make another ticket"
// +kubebuilder:validation:ExactlyOneOf=diskExport;imageUpload
type TransferTicketSpec struct {
	// nodeName is the host that is to serve it: the home of the disk,
	// or status.nodeName of the image.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName"`
	// tokenSHA256 is the hash of the token, in hexadecimal digits. The token itself
	// its maker keeps, and shows to the host.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	TokenSHA256 string `json:"tokenSHA256"`
	// diskExport lets the bearer read a disk.
	// +optional
	DiskExport *DiskExport `json:"diskExport,omitempty"`
	// imageUpload lets the bearer upload an image.
	// +optional
	ImageUpload *ImageUpload `json:"imageUpload,omitempty"`
}

// TransferTicketStatus is what the host says.
type TransferTicketStatus struct {
	// url is where the host serves it.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	URL string `json:"url,omitempty"`
	// certificate is the host's, in PEM: whoever shows another one is not the host.
	// +optional
	Certificate string `json:"certificate,omitempty"`
	// expires is when the host removes the ticket.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
	// message says why the host does not serve it.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// TransferTicket lets the bearer of a token exchange the bytes of one object with
// the host that has it, for a day at most. To make one takes the right to what it
// is for, such as get on virtualdisks/export.
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=all
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Disk",type=string,JSONPath=`.spec.diskExport.diskName`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.imageUpload.imageName`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expires`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TransferTicket struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec TransferTicketSpec `json:"spec"`
	// +optional
	Status TransferTicketStatus `json:"status,omitzero"`
}

// TransferTicketList is a list of TransferTickets.
// +kubebuilder:object:root=true
type TransferTicketList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TransferTicket `json:"items"`
}

// HostTransfer is where a host exchanges the bytes of volumes.
type HostTransfer struct {
	// address is host and port.
	// +kubebuilder:validation:MaxLength=300
	Address string `json:"address"`
	// certificate is what the host shows there, and to other hosts, in PEM. It
	// changes when its executor is started anew.
	// +kubebuilder:validation:MaxLength=4096
	Certificate string `json:"certificate"`
}
