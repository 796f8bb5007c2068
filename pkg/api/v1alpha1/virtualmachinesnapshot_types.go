package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// SnapshotMemory says whether a snapshot holds the guest's memory, and where.
// +kubebuilder:validation:Enum=None;Internal;External
type SnapshotMemory string

const (
	// SnapshotMemoryNone is disks only: the guest boots from them.
	SnapshotMemoryNone SnapshotMemory = "None"
	// SnapshotMemoryInternal puts memory into the first qcow2 disk.
	SnapshotMemoryInternal SnapshotMemory = "Internal"
	// SnapshotMemoryExternal puts memory into a file of its own.
	SnapshotMemoryExternal SnapshotMemory = "External"
)

// QuiescePolicy says whether the guest's file systems are brought to rest first.
// +kubebuilder:validation:Enum=IfPossible;Require;Never
type QuiescePolicy string

const (
	// QuiesceIfPossible asks the guest agent, where there is one.
	QuiesceIfPossible QuiescePolicy = "IfPossible"
	// QuiesceRequire makes no snapshot without it.
	QuiesceRequire QuiescePolicy = "Require"
	// QuiesceNever does not ask.
	QuiesceNever QuiescePolicy = "Never"
)

// VirtualMachineSnapshotSpec is what the user wants.
// +kubebuilder:validation:XValidation:rule="self.virtualMachineName == oldSelf.virtualMachineName",message="virtualMachineName must not change: make another snapshot"
// +kubebuilder:validation:XValidation:rule="self.memory == oldSelf.memory && self.quiesce == oldSelf.quiesce",message="memory and quiesce must not change: make another snapshot"
type VirtualMachineSnapshotSpec struct {
	// virtualMachineName is the VM of the namespace that the snapshot is of.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	VirtualMachineName string `json:"virtualMachineName"`

	// memory says whether the guest's memory is in the snapshot, so that it goes
	// on from there, and where.
	// +kubebuilder:default=None
	// +optional
	Memory SnapshotMemory `json:"memory,omitempty"`

	// quiesce says whether the guest's file systems are brought to rest first, by
	// its agent. With memory there is no need.
	// +kubebuilder:default=IfPossible
	// +optional
	Quiesce QuiescePolicy `json:"quiesce,omitempty"`

	// description is for people.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Description string `json:"description,omitempty"`

	// snapshot is libvirt's own snapshot for everything that the fields above do
	// not say: which disks, where their files are, and, of one that was made, the
	// domain as it was.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +mapType=atomic
	// +optional
	Snapshot *runtime.RawExtension `json:"snapshot,omitempty"`
}

// SnapshotPhase is where a snapshot is in its life, for people.
// +kubebuilder:validation:Enum=Pending;Creating;Ready;Failed
type SnapshotPhase string

// Phases of a snapshot.
const (
	SnapshotPending  SnapshotPhase = "Pending"
	SnapshotCreating SnapshotPhase = "Creating"
	SnapshotReady    SnapshotPhase = "Ready"
	SnapshotFailed   SnapshotPhase = "Failed"
)

// VirtualMachineSnapshotStatus is what became of it.
type VirtualMachineSnapshotStatus struct {
	// phase is the conditions in a word, for people.
	// +optional
	Phase SnapshotPhase `json:"phase,omitempty"`
	// nodeName is the host that has it.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// createdAt is when the guest was as the snapshot has it.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`
	// parentName is the snapshot that it is based on; empty of a first one.
	// +optional
	ParentName string `json:"parentName,omitempty"`
	// quiesced says whether the guest's file systems were at rest.
	// +optional
	Quiesced bool `json:"quiesced,omitempty"`
	// bytes is the space that it takes.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// observedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VirtualMachineSnapshot is a VM as it was at a time. It is not acted upon yet:
// no controller makes it.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vmsnap,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="VM",type=string,JSONPath=`.spec.virtualMachineName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.memory`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Created",type=date,JSONPath=`.status.createdAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualMachineSnapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualMachineSnapshotSpec `json:"spec"`
	// +optional
	Status VirtualMachineSnapshotStatus `json:"status,omitzero"`
}

// VirtualMachineSnapshotList is a list of VirtualMachineSnapshots.
// +kubebuilder:object:root=true
type VirtualMachineSnapshotList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualMachineSnapshot `json:"items"`
}
