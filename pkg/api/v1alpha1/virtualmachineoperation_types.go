package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OperationType is something done to a guest that is not a state to be in.
// +kubebuilder:validation:Enum=Restart;Reset;ForceStop;SendKey;Screenshot;SetPassword;InjectSSHKey;Measure;Restore
type OperationType string

const (
	// OperationRestart shuts the guest down (and switches it off when its grace
	// period is over) and starts it with the spec as it is now. A guest that has
	// ended is started.
	OperationRestart OperationType = "Restart"
	// OperationReset is the reset button: the guest boots anew at once.
	OperationReset OperationType = "Reset"
	// OperationForceStop pulls the plug. Whether the guest is started again is
	// spec.powerState's to say: set it to Stopped first to have it stay off.
	OperationForceStop OperationType = "ForceStop"
	// OperationSendKey presses keys together, as on the guest's keyboard.
	OperationSendKey OperationType = "SendKey"
	// OperationScreenshot takes a picture of the guest's screen.
	OperationScreenshot OperationType = "Screenshot"
	// OperationSetPassword sets a user's password by the guest agent.
	OperationSetPassword OperationType = "SetPassword"
	// OperationInjectSSHKey adds public keys to a user's authorized_keys by the
	// guest agent.
	OperationInjectSSHKey OperationType = "InjectSSHKey"
	// OperationMeasure counts for a moment what the guest uses of its host.
	OperationMeasure OperationType = "Measure"
	// OperationRestore brings the VM's disks, and its guest's memory where that is in
	// it, back to a VirtualMachineSnapshot.
	OperationRestore OperationType = "Restore"
)

// OperationPhase is how far an operation has come.
// +kubebuilder:validation:Enum=Pending;Running;Succeeded;Failed
type OperationPhase string

const (
	// OperationPending means not begun; another one of the VM may be under way.
	OperationPending OperationPhase = "Pending"
	// OperationRunning means that the host is at it.
	OperationRunning OperationPhase = "Running"
	// OperationSucceeded is final.
	OperationSucceeded OperationPhase = "Succeeded"
	// OperationFailed is final too.
	OperationFailed OperationPhase = "Failed"
)

// Reasons in an operation's status.reason.
const (
	// ReasonVMNotFound: there is no such VM, or another one of that name now.
	ReasonVMNotFound = "VirtualMachineNotFound"
	// ReasonWrongState: the VM is in a state in which this cannot be done.
	ReasonWrongState = "WrongState"
	// ReasonTimedOut: the time limit has passed; the message says what was waited for.
	ReasonTimedOut = "TimedOut"
	// ReasonInterrupted: the host's agent ended in the middle of something that
	// must not be done twice; whether it took effect is not known.
	ReasonInterrupted = "Interrupted"
	// ReasonAgentUnavailable: the guest agent does not answer.
	ReasonAgentUnavailable = "AgentUnavailable"
	// ReasonOperationRefused: libvirt, the guest or its agent refused it; the
	// message is theirs.
	ReasonOperationRefused = "Refused"
	// ReasonBindingEnded: the VM left the host that was to do it.
	ReasonBindingEnded = "BindingEnded"
	// ReasonSuperseded: a ForceStop of the VM was asked for meanwhile, which waits
	// for nothing.
	ReasonSuperseded = "Superseded"
)

// VirtualMachineOperationSpec says what shall be done. It cannot be changed.
type VirtualMachineOperationSpec struct {
	// virtualMachineName names the VM, in the operation's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	VirtualMachineName string `json:"virtualMachineName"`

	// type is what shall be done.
	Type OperationType `json:"type"`

	// sendKey is for type SendKey.
	// +optional
	SendKey *SendKey `json:"sendKey,omitempty"`

	// setPassword is for type SetPassword.
	// +optional
	SetPassword *SetPassword `json:"setPassword,omitempty"`

	// injectSSHKey is for type InjectSSHKey.
	// +optional
	InjectSSHKey *InjectSSHKey `json:"injectSSHKey,omitempty"`

	// restore is for type Restore.
	// +optional
	Restore *Restore `json:"restore,omitempty"`

	// timeoutSeconds is how long it may take from its creation, the wait for
	// others included, before it has failed. Default 300.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// ttlSecondsAfterFinished is how long the object is kept when it is over.
	// Default 3600.
	// +kubebuilder:default=3600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	// +optional
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// SendKey is keys that are pressed together.
type SendKey struct {
	// keys are Linux key names, such as KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^KEY_[A-Z0-9_]+$`
	// +kubebuilder:validation:items:MaxLength=63
	Keys []string `json:"keys"`
	// holdMilliseconds is how long they are held. Default 100.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	HoldMilliseconds *int32 `json:"holdMilliseconds,omitempty"`
}

// SetPassword is a user's new password. It is never here in the clear.
type SetPassword struct {
	// user is the guest's user.
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_.-]*[$]?$`
	// +kubebuilder:validation:MaxLength=32
	User string `json:"user"`
	// hash is the password as crypt(5) keeps it: $6$salt$hash, $y$... .
	// +kubebuilder:validation:Pattern=`^\$[0-9a-z]+\$[^:\n]+$`
	// +kubebuilder:validation:MaxLength=512
	Hash string `json:"hash"`
}

// InjectSSHKey is public keys that a user shall be let in with.
type InjectSSHKey struct {
	// user is the guest's user.
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_.-]*[$]?$`
	// +kubebuilder:validation:MaxLength=32
	User string `json:"user"`
	// authorizedKeys are lines of authorized_keys(5).
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Pattern=`^[^\n]+$`
	// +kubebuilder:validation:items:MaxLength=8192
	AuthorizedKeys []string `json:"authorizedKeys"`
}

// Screenshot is a picture of a guest's screen.
type Screenshot struct {
	// png is the picture in PNG, made smaller by halves until it has at most
	// 512 KiB.
	// +kubebuilder:validation:MaxLength=716800
	PNG []byte `json:"png"`
	// width and height are in pixels, as kept.
	Width  int32 `json:"width"`
	Height int32 `json:"height"`
}

// Usage is what a guest used of its host in a moment of about a second.
type Usage struct {
	// cpuMillis is the CPU used, QEMU's own included, in thousandths of a host CPU.
	CPUMillis int64 `json:"cpuMillis"`
	// memory is the host memory that the guest occupies, in bytes.
	Memory int64 `json:"memory"`
	// guestMemoryUsed is what the guest itself uses of its memory, in bytes;
	// absent when its balloon driver does not say.
	// +optional
	GuestMemoryUsed *int64 `json:"guestMemoryUsed,omitempty"`
	// blockRead, blockWritten, netReceived and netSent are bytes a second, all
	// disks and all interfaces together.
	BlockRead    int64 `json:"blockRead"`
	BlockWritten int64 `json:"blockWritten"`
	NetReceived  int64 `json:"netReceived"`
	NetSent      int64 `json:"netSent"`
}

// VirtualMachineOperationStatus is how it goes. Writers: vm-scheduler until the
// operation is assigned to a host and where the host is lost, the executor of
// that host otherwise.
type VirtualMachineOperationStatus struct {
	// phase is how far it has come.
	// +kubebuilder:default=Pending
	// +optional
	Phase OperationPhase `json:"phase,omitempty"`
	// nodeName is the host that does it, virtualMachineUID and epoch say on which
	// binding of the VM; of one that was refused virtualMachineUID alone is set.
	// Writer: vm-scheduler, once.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// +optional
	VirtualMachineUID string `json:"virtualMachineUID,omitempty"`
	// +optional
	Epoch int64 `json:"epoch,omitempty"`
	// reason is a CamelCase word for why it failed or waits.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says to a person what is being waited for, what was done, or why it
	// failed and what to do.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Message string `json:"message,omitempty"`
	// startedAt is when the host began, finishedAt when it was over.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// screenshot is the result of type Screenshot.
	// +optional
	Screenshot *Screenshot `json:"screenshot,omitempty"`
	// usage is the result of type Measure.
	// +optional
	Usage *Usage `json:"usage,omitempty"`
}

// Finished says whether the operation is over.
func (s *VirtualMachineOperationStatus) Finished() bool {
	return s.Phase == OperationSucceeded || s.Phase == OperationFailed
}

// VirtualMachineOperation is one thing done once to a guest: restart it, press a
// key, take a picture. At most one at a time is under way on a VM, the oldest
// first; but a ForceStop waits for none, and ends those before it.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vmop,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.status.nodeName`
// +kubebuilder:selectablefield:JSONPath=`.spec.virtualMachineName`
// +kubebuilder:printcolumn:name="VM",type=string,JSONPath=`.spec.virtualMachineName`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.nodeName`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualMachineOperation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed: create another operation"
	// +kubebuilder:validation:XValidation:rule="(self.type == 'SendKey') == has(self.sendKey)",fieldPath=".sendKey",message="is for type SendKey, which needs it"
	// +kubebuilder:validation:XValidation:rule="(self.type == 'SetPassword') == has(self.setPassword)",fieldPath=".setPassword",message="is for type SetPassword, which needs it"
	// +kubebuilder:validation:XValidation:rule="(self.type == 'InjectSSHKey') == has(self.injectSSHKey)",fieldPath=".injectSSHKey",message="is for type InjectSSHKey, which needs it"
	// +kubebuilder:validation:XValidation:rule="(self.type == 'Restore') == has(self.restore)",fieldPath=".restore",message="is for type Restore, which needs it"
	Spec VirtualMachineOperationSpec `json:"spec"`
	// +kubebuilder:default={"phase":"Pending"}
	// +optional
	Status VirtualMachineOperationStatus `json:"status"`
}

// VirtualMachineOperationList is a list of VirtualMachineOperations.
// +kubebuilder:object:root=true
type VirtualMachineOperationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualMachineOperation `json:"items"`
}
