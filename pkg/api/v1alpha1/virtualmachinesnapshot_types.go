package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// SnapshotMemory says whether a snapshot holds the guest's memory, and where.
// +kubebuilder:validation:Enum=None;Internal;External
type SnapshotMemory string

const (
	// SnapshotMemoryNone is disks only: the guest boots from them.
	SnapshotMemoryNone SnapshotMemory = "None"
	// SnapshotMemoryInternal keeps the memory beside the disks, where Domus sees to
	// it.
	SnapshotMemoryInternal SnapshotMemory = "Internal"
	// SnapshotMemoryExternal is what documents of libvirt say that name a file of
	// their own for the memory. It is not made.
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
// +kubebuilder:validation:Enum=Pending;Creating;Ready;Restoring;Deleting;Failed
type SnapshotPhase string

// Phases of a snapshot.
const (
	SnapshotPending  SnapshotPhase = "Pending"
	SnapshotCreating SnapshotPhase = "Creating"
	SnapshotReady    SnapshotPhase = "Ready"
	// SnapshotRestoring means that the VM is being brought back to it.
	SnapshotRestoring SnapshotPhase = "Restoring"
	SnapshotDeleting  SnapshotPhase = "Deleting"
	// SnapshotFailed is final, and nothing of the snapshot is left.
	SnapshotFailed SnapshotPhase = "Failed"
)

// Conditions of a snapshot.
const (
	// ConditionSnapshotReady: it is whole, and the VM can be restored to it.
	ConditionSnapshotReady = "Ready"
	// ConditionQuiesced: the guest's file systems were at rest; the reason says why,
	// or why not.
	ConditionQuiesced = "Quiesced"
)

// Reasons of condition Ready of a snapshot.
const (
	// ReasonSnapshotReady: it is whole.
	ReasonSnapshotReady = "SnapshotReady"
	// ReasonSnapshotWaits: it is not begun; the message says what for.
	ReasonSnapshotWaits = "Waiting"
	// ReasonSnapshotCreating: the host is at it.
	ReasonSnapshotCreating = "Creating"
	// ReasonRestoring: the VM is being brought back to it.
	ReasonRestoring = "Restoring"
	// ReasonSnapshotDeleting: its data is being removed.
	ReasonSnapshotDeleting = "Deleting"
	// ReasonVMDeleting: the VM is being deleted.
	ReasonVMDeleting = "VirtualMachineDeleting"
	// ReasonNoDisks: the VM has no VirtualDisk that it writes.
	ReasonNoDisks = "NoDisks"
	// ReasonUnsupportedDisk: a disk can have no snapshots.
	ReasonUnsupportedDisk = "UnsupportedDisk"
	// ReasonUnsupportedMemory: the guest's memory cannot be taken.
	ReasonUnsupportedMemory = "UnsupportedMemory"
	// ReasonNotQuiesced: spec.quiesce is Require, and the guest was not.
	ReasonNotQuiesced = "NotQuiesced"
	// ReasonSnapshotFailed: libvirt, QEMU or the storage refused it.
	ReasonSnapshotFailed = "SnapshotFailed"
	// ReasonSnapshotLost: its data is not in the disks any more.
	ReasonSnapshotLost = "SnapshotLost"
)

// Reasons of condition Quiesced.
const (
	// ReasonQuiescedByAgent: the guest agent has brought them to rest.
	ReasonQuiescedByAgent = "ByAgent"
	// ReasonQuiescedNoGuest: no guest was running.
	ReasonQuiescedNoGuest = "NotRunning"
	// ReasonQuiesceNever: spec.quiesce says not to ask.
	ReasonQuiesceNever = "NotAsked"
	// ReasonQuiesceMemory: the guest goes on from its memory, and needs no rest; its
	// disks alone are as after a loss of power.
	ReasonQuiesceMemory = "MemoryIncluded"
	// ReasonQuiesceSuspended: the guest's memory is saved, and what it had not written
	// is there.
	ReasonQuiesceSuspended = "Suspended"
	// ReasonQuiesceFailed: the agent could not do it.
	ReasonQuiesceFailed = "AgentFailed"
)

// SnapshotDisk is a VirtualDisk in a snapshot.
type SnapshotDisk struct {
	// name is the VirtualDisk, and uid which one of that name.
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
	// poolName and volumeName are where it lies on the host.
	PoolName   string `json:"poolName"`
	VolumeName string `json:"volumeName"`
}

// SnapshotMemoryVolume is where a guest's memory lies.
type SnapshotMemoryVolume struct {
	PoolName   string `json:"poolName"`
	VolumeName string `json:"volumeName"`
}

// SnapshotRestore is a restore that has begun: until it is over the VM's guest is
// not started otherwise.
type SnapshotRestore struct {
	// operationUID is the VirtualMachineOperation's.
	OperationUID types.UID `json:"operationUID"`
	// disksDone says that all disks are as they were.
	// +optional
	DisksDone bool `json:"disksDone,omitempty"`
	// start says that the guest is to be started, and memory that it goes on from
	// the snapshot's memory.
	// +optional
	Start bool `json:"start,omitempty"`
	// +optional
	Memory bool `json:"memory,omitempty"`
}

// VirtualMachineSnapshotStatus is what became of it. Writers: vm-scheduler until
// the snapshot is given to a host, that host's executor afterwards.
type VirtualMachineSnapshotStatus struct {
	// phase is the conditions in a word, for people.
	// +kubebuilder:default=Pending
	// +optional
	Phase SnapshotPhase `json:"phase,omitempty"`
	// nodeName is the host that has it: where the VM's disks are. Writer:
	// vm-scheduler, once.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// virtualMachineUID is the VM that it was made of. Writer: vm-scheduler.
	// +optional
	VirtualMachineUID types.UID `json:"virtualMachineUID,omitempty"`
	// createdAt is when the guest was as the snapshot has it.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`
	// parentName is the snapshot that the disks were based on; empty of a first one.
	// +optional
	ParentName string `json:"parentName,omitempty"`
	// current says that the disks are based on this one now: it was made, or
	// restored, last.
	// +optional
	Current bool `json:"current,omitempty"`
	// disks are the VirtualDisks in it.
	// +listType=atomic
	// +optional
	Disks []SnapshotDisk `json:"disks,omitempty"`
	// memoryVolume is where the guest's memory is; absent where it is not in it.
	// +optional
	MemoryVolume *SnapshotMemoryVolume `json:"memoryVolume,omitempty"`
	// memoryBytes is how much of the memory has been written, and in the end how
	// much that is. What the snapshot holds of disks is shared with them, and cannot
	// be told apart.
	// +optional
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// restoring is a restore that has begun and is not over.
	// +optional
	Restoring *SnapshotRestore `json:"restoring,omitempty"`
	// restoredBy is the operation that last restored it.
	// +optional
	RestoredBy types.UID `json:"restoredBy,omitempty"`
	// restoredAt is when that was over.
	// +optional
	RestoredAt *metav1.Time `json:"restoredAt,omitempty"`
	// observedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready and Quiesced.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:default={}
	// +optional
	Conditions []metav1.Condition `json:"conditions"`
}

// VirtualMachineSnapshot is a VM's disks, and its memory where asked for, as they
// were at a time.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vmsnap,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.status.nodeName`
// +kubebuilder:selectablefield:JSONPath=`.spec.virtualMachineName`
// +kubebuilder:printcolumn:name="VM",type=string,JSONPath=`.spec.virtualMachineName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.memory`
// +kubebuilder:printcolumn:name="Quiesced",type=string,JSONPath=`.status.conditions[?(@.type=="Quiesced")].status`
// +kubebuilder:printcolumn:name="Parent",type=string,JSONPath=`.status.parentName`
// +kubebuilder:printcolumn:name="Current",type=boolean,JSONPath=`.status.current`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.nodeName`,priority=1
// +kubebuilder:printcolumn:name="Created",type=date,JSONPath=`.status.createdAt`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Deleted",type=date,JSONPath=`.metadata.deletionTimestamp`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualMachineSnapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualMachineSnapshotSpec `json:"spec"`
	// +structType=atomic
	// +kubebuilder:default={"phase":"Pending"}
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

// Tag is the snapshot's name in the files of disks. An object of the same name that
// is created later has another.
func (s *VirtualMachineSnapshot) Tag() string { return SnapshotTagPrefix + string(s.UID) }

// SnapshotTagPrefix begins the names of all snapshots of VirtualMachineSnapshots.
const SnapshotTagPrefix = "domus-"

// MemoryVolumeName is the name of the volume that the guest's memory is in.
func (s *VirtualMachineSnapshot) MemoryVolumeName() string {
	return "snapshot-" + string(s.UID) + ".memory"
}

// WantsMemory says whether the guest's memory is to be in the snapshot.
func (s *VirtualMachineSnapshot) WantsMemory() bool {
	return s.Spec.Memory != SnapshotMemoryNone && s.Spec.Memory != ""
}

// HasDisk says whether the disk is in the snapshot.
func (s *VirtualMachineSnapshot) HasDisk(uid types.UID) bool {
	for i := range s.Status.Disks {
		if s.Status.Disks[i].UID == uid {
			return true
		}
	}
	return false
}
