package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Phase is a VM's life in one word, for people; programs read conditions.
type Phase string

const (
	// PhasePending means that no host has been chosen yet.
	PhasePending Phase = "Pending"
	// PhaseScheduled means that a host has been chosen and has not started the guest yet.
	PhaseScheduled Phase = "Scheduled"
	// PhaseRunning means that the guest runs.
	PhaseRunning Phase = "Running"
	// PhasePaused means that the guest exists and its CPUs stand still.
	PhasePaused Phase = "Paused"
	// PhaseStopping means that the guest has been asked to shut down.
	PhaseStopping Phase = "Stopping"
	// PhaseStopped means that there is no guest, as asked.
	PhaseStopped Phase = "Stopped"
	// PhaseSuspended means that the guest's memory is saved on its host.
	PhaseSuspended Phase = "Suspended"
	// PhaseEnded means that the guest ended by itself and is not started again,
	// as spec.runPolicy says.
	PhaseEnded Phase = "Ended"
	// PhaseFailed means that the guest ended or could not be started; it is tried again
	// with back-off.
	PhaseFailed Phase = "Failed"
	// PhaseInvalid means that no host can run this spec; it is held until it changes.
	PhaseInvalid Phase = "Invalid"
)

// GrantedResources is what a placement holds on its host.
type GrantedResources struct {
	// cpu is the number of virtual CPUs.
	CPU int32 `json:"cpu"`
	// memory is the guest's memory in bytes.
	Memory int64 `json:"memory"`
	// overhead is the ordinary memory in bytes granted to QEMU itself.
	Overhead int64 `json:"overhead"`
	// pageSize is set when memory lies in hugepages of that size.
	// +optional
	PageSize PageSize `json:"pageSize,omitempty"`
	// maxCPU is how many virtual CPUs may be granted in this placement, 0 for no
	// more than cpu. It holds nothing on the host.
	// +optional
	MaxCPU int32 `json:"maxCPU,omitempty"`
	// maxMemory is how much memory in bytes may be granted in this placement, 0
	// for no more than memory. It holds nothing on the host.
	// +optional
	MaxMemory int64 `json:"maxMemory,omitempty"`
}

// Placement is the scheduler's decision. It is written once per epoch; within
// it, only how many CPUs and how much memory are granted may change.
type Placement struct {
	// nodeName is the chosen host.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName"`
	// granted is what the VM may use there. Its cpu and memory change when a guest
	// that runs grows or gives memory back.
	Granted GrantedResources `json:"granted"`
	// cells are the NUMA cells that hold the VM, by ascending id. What of
	// granted lies in none of them is bound to no cell.
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Cells []PlacedCell `json:"cells,omitempty"`
	// devices are the host devices that the VM is given, by ascending address.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=1024
	// +optional
	Devices []PlacedDevice `json:"devices,omitempty"`
}

// Eviction asks the host to stop the guest and give its slot back.
type Eviction struct {
	// reason is a CamelCase word: Preempted.
	Reason string `json:"reason"`
	// message says to a person why.
	// +optional
	Message string `json:"message,omitempty"`
	// requestedAt is when the scheduler asked.
	RequestedAt metav1.Time `json:"requestedAt"`
}

// HostExclusion keeps a VM off a host that refused it, for a while.
type HostExclusion struct {
	// nodeName is the host.
	NodeName string `json:"nodeName"`
	// message is what the host said.
	// +optional
	Message string `json:"message,omitempty"`
	// until is when the host is tried again.
	Until metav1.Time `json:"until"`
}

// Hold keeps a VM out of the queue until its spec changes.
type Hold struct {
	// generation is the metadata.generation that is held.
	Generation int64 `json:"generation"`
	// reason is InvalidDomain.
	Reason string `json:"reason"`
	// message is what the host said.
	// +optional
	Message string `json:"message,omitempty"`
}

// HostState is what the executor has done with the VM in an epoch.
// +kubebuilder:validation:Enum=Running;Paused;Suspended;Stopping;Stopped;Ended;Failed;Rejected;Gone
type HostState string

const (
	// HostRunning means that the guest runs.
	HostRunning HostState = "Running"
	// HostPaused means that the guest exists and its CPUs stand still.
	HostPaused HostState = "Paused"
	// HostStopping means that the guest has been asked to shut down.
	HostStopping HostState = "Stopping"
	// HostStopped means that there is no guest, as asked.
	HostStopped HostState = "Stopped"
	// HostSuspended means that the guest's memory is saved and the guest is gone.
	HostSuspended HostState = "Suspended"
	// HostEnded means that the guest ended by itself and is not started again, as
	// spec.runPolicy says.
	HostEnded HostState = "Ended"
	// HostFailed means that the guest ended or could not be started.
	HostFailed HostState = "Failed"
	// HostRejected means that the host will not run the VM; nothing of it is defined there.
	HostRejected HostState = "Rejected"
	// HostGone means that the guest was stopped and undefined, as the eviction or
	// spec.whenStopped asked.
	HostGone HostState = "Gone"
)

// Reasons in status.host.reason.
const (
	// ReasonHostUnfit: this host cannot run the VM now; another may.
	ReasonHostUnfit = "HostUnfit"
	// ReasonInvalidDomain: no host can run this spec.
	ReasonInvalidDomain = "InvalidDomain"
	// ReasonReleased: the VM is stopped and gave its place back, as
	// spec.whenStopped says. It is a reason of ConditionScheduled too.
	ReasonReleased = "Released"
	// ReasonResizeNeedsPlacement: the spec asks for another place than the VM has,
	// and the guest was to be started; the place was given back. It is a reason of
	// ConditionScheduled too.
	ReasonResizeNeedsPlacement = "ResizeNeedsPlacement"
	// ReasonGuestShutDown: the guest shut itself down, and runPolicy leaves it off.
	ReasonGuestShutDown = "GuestShutDown"
	// ReasonGuestFailed: the guest crashed, was killed or lost its host, and
	// runPolicy leaves it off.
	ReasonGuestFailed = "GuestFailed"
	// ReasonDiskFull: the guest stands still since a disk of it could not be
	// written for want of space; it goes on when there is some.
	ReasonDiskFull = "DiskFull"
	// ReasonRanOnce: the guest has run and was ended on purpose, and runPolicy Once
	// has it never started again.
	ReasonRanOnce = "RanOnce"
	// ReasonStarting: the guest is about to be started. It is said beforehand
	// where runPolicy is not Always, so that the start is known whatever happens
	// then, and with state Stopped; with state Paused while libvirt is at it.
	ReasonStarting = "Starting"
	// ReasonWaitingForDisks: the guest is started when its VirtualDisks are ready;
	// said with state Stopped.
	ReasonWaitingForDisks = "WaitingForDisks"
	// ReasonWaitingForNetworks: the guest is started when its VirtualNetworks are
	// there; said with state Stopped.
	ReasonWaitingForNetworks = "WaitingForNetworks"
	// ReasonSaving: the guest stands still while its memory is saved.
	ReasonSaving = "Saving"
	// ReasonPauseFailed, ReasonResumeFailed and ReasonSuspendFailed: the guest
	// could not be paused, resumed or saved; tried again with back-off.
	ReasonPauseFailed   = "PauseFailed"
	ReasonResumeFailed  = "ResumeFailed"
	ReasonSuspendFailed = "SuspendFailed"
	// ReasonRestoreFailed: the guest could not go on from its saved memory, which
	// is kept; tried again with back-off.
	ReasonRestoreFailed = "RestoreFailed"
	// ReasonDeleting: the guest is ended since the VM is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonEvicted: the guest was stopped because the scheduler asked for it.
	ReasonEvicted = "Evicted"
	// ReasonResizeFailed: the guest could not be given the size that is granted;
	// tried again with back-off.
	ReasonResizeFailed = "ResizeFailed"
	// ReasonGrowthFailed, of status.host.refused: the host has what was granted
	// more, and could not give it to the guest.
	ReasonGrowthFailed = "GrowthFailed"
	// ReasonStartFailed: libvirt refused to start the domain; tried again.
	ReasonStartFailed = "StartFailed"
	// ReasonGuestEnded: the guest ended by itself; started again with back-off.
	ReasonGuestEnded = "GuestEnded"
)

// HostStatus is written by the executor of the host in status.placement alone.
type HostStatus struct {
	// epoch is the epoch this report is about.
	Epoch int64 `json:"epoch"`
	// state is what the host has done.
	State HostState `json:"state"`
	// reason is a CamelCase word for the state.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says it to a person, with the remedy.
	// +optional
	Message string `json:"message,omitempty"`
	// domainName is the libvirt domain's name on the host.
	// +optional
	DomainName string `json:"domainName,omitempty"`
	// domainUUID is the libvirt domain's UUID.
	// +optional
	DomainUUID string `json:"domainUUID,omitempty"`
	// startedAt is when the guest was last started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// cpu is how many virtual CPUs a guest that can grow has now.
	// +optional
	CPU int32 `json:"cpu,omitempty"`
	// memory is how many bytes of memory a guest that can grow has now: what its
	// balloon leaves it. It is written when that has come to rest.
	// +optional
	Memory int64 `json:"memory,omitempty"`
	// memoryTarget is how many bytes of memory the guest's balloon was told to leave
	// it, where the guest has not come to that within minutes; absent otherwise.
	// +optional
	MemoryTarget int64 `json:"memoryTarget,omitempty"`
	// refused is set when the host does not give the guest what it was granted
	// more; vm-scheduler takes that back then.
	// +optional
	Refused *GrowthRefusal `json:"refused,omitempty"`
	// disks are those of spec.disks that the guest has, as it has them now.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Disks []GuestDisk `json:"disks,omitempty"`
}

// GrowthRefusal says that a host does not let a guest grow.
type GrowthRefusal struct {
	// granted is what was granted and is refused.
	Granted GuestSize `json:"granted"`
	// held is what the guest holds instead.
	Held GuestSize `json:"held"`
	// reason is a CamelCase word: HostUnfit, GrowthFailed.
	Reason string `json:"reason"`
	// message says it to a person.
	// +optional
	Message string `json:"message,omitempty"`
}

// GuestSize is what of a grant can change while the guest runs.
type GuestSize struct {
	// cpu is the number of virtual CPUs.
	CPU int32 `json:"cpu"`
	// memory is the guest's memory in bytes.
	Memory int64 `json:"memory"`
}

// Size is what of a grant can change while the guest runs.
func (g GrantedResources) Size() GuestSize { return GuestSize{CPU: g.CPU, Memory: g.Memory} }

// Condition types and reasons of a VirtualMachine.
const (
	// ConditionScheduled is True when a host holds the VM. Written by vm-scheduler.
	ConditionScheduled = "Scheduled"
	// ReasonScheduled, ReasonUnschedulable, ReasonSchedulerError and
	// ReasonPreempted, ReasonHostRejected are reasons of ConditionScheduled,
	// and so is ReasonInvalidDomain. ReasonWaitingForGroup: too few of its
	// scheduling group are there.
	ReasonScheduled      = "Scheduled"
	ReasonUnschedulable  = "Unschedulable"
	ReasonSchedulerError = "SchedulerError"
	ReasonPreempted      = "Preempted"
	ReasonHostRejected   = "HostRejected"

	ReasonWaitingForGroup = "WaitingForGroup"
	// ReasonNoHostSought: the VM has no host and shall not run.
	ReasonNoHostSought = "NoHostSought"

	// ConditionHostReachable is False while the VM's host cannot be heard or asked,
	// so that what its conditions say of the guest may be old; absent otherwise.
	// Written by vm-scheduler, once when the host is lost and once when it is back.
	ConditionHostReachable = "HostReachable"
	// ReasonHostUnreachable (the host's executor is silent) is its reason, and that of
	// an operation that waits for such a host. ReasonHostLibvirtUnavailable: the
	// executor does not reach libvirt.
	ReasonHostUnreachable        = "HostUnreachable"
	ReasonHostLibvirtUnavailable = "HostLibvirtUnavailable"

	// ConditionReady is True while the guest runs. Written by the executor; its
	// reasons are the HostState words and the reasons of status.host.
	ConditionReady = "Ready"

	// ConditionRestartRequired is True while the guest runs with another spec than
	// the VM has now; its message names the fields. Written by the executor, and
	// absent when there is no guest or nothing differs.
	ConditionRestartRequired = "RestartRequired"
	// ReasonSpecChanged is its reason.
	ReasonSpecChanged = "SpecChanged"

	// ConditionResizePending is True while a guest is to have another size than it
	// has and could have without a restart. Written by vm-scheduler, and absent
	// otherwise.
	ConditionResizePending = "ResizePending"
	// ReasonGrowthWaits is its reason while the host has too little left, and the
	// scheduler's ReasonSchedulerError where it could not tell. ReasonHostRefused:
	// the host itself did not give what the scheduler had granted; it is asked
	// again after a while.
	ReasonGrowthWaits = "GrowthWaits"
	ReasonHostRefused = "HostRefused"
	// ReasonGuestStandsStill: the guest is paused or suspended, and changes its size
	// when it runs again. ReasonGuestKeepsMemory: it has been told to have more or
	// less memory and keeps what it has, for want of a balloon driver as a rule.
	ReasonGuestStandsStill = "GuestStandsStill"
	ReasonGuestKeepsMemory = "GuestKeepsMemory"

	// ConditionAgentConnected says whether the guest agent answers. It is Unknown
	// until one was heard, or has not answered, since the guest was started: the
	// guest may have none. Written by the executor, and absent when there is no
	// guest or its domain has no channel for an agent.
	ConditionAgentConnected = "AgentConnected"
	// ReasonAgentAnswers and ReasonAgentSilent are its reasons.
	ReasonAgentAnswers = "AgentAnswers"
	ReasonAgentSilent  = "AgentSilent"
)

// GuestStatus is what the guest's agent says of the guest.
type GuestStatus struct {
	// hostname is the guest's own name for itself.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Hostname string `json:"hostname,omitempty"`
	// os is the operating system.
	// +optional
	OS *GuestOS `json:"os,omitempty"`
	// interfaces are the guest's network interfaces, the loopback left out, in
	// the guest's order.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Interfaces []GuestInterface `json:"interfaces,omitempty"`
	// addresses are the addresses of interfaces, or else of status.interfaces, in one
	// line, for people: those
	// that are local to a link left out, and as many as fit.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Addresses string `json:"addresses,omitempty"`
}

// GuestOS is a guest's operating system, as os-release or its like names it.
type GuestOS struct {
	// id is a short word: debian.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ID string `json:"id,omitempty"`
	// name is for people: Debian GNU/Linux 12 (bookworm).
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`
	// version is such as 12.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Version string `json:"version,omitempty"`
	// kernel is the kernel's release.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Kernel string `json:"kernel,omitempty"`
}

// GuestInterface is one of a guest's network interfaces.
type GuestInterface struct {
	// name is the guest's own.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// mac is its hardware address.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	MAC string `json:"mac,omitempty"`
	// addresses are its IP addresses, without prefix lengths.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Addresses []string `json:"addresses,omitempty"`
}

// VirtualMachineStatus is what Domus knows. Each field has one writer: the
// vm-scheduler's leader, or the executor of the host in placement.
// +kubebuilder:validation:XValidation:rule="self.epoch >= oldSelf.epoch",fieldPath=".epoch",message="never falls: each epoch is one binding of the VM to a host"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.placement) || self.epoch > oldSelf.epoch || (has(self.placement) && (self.placement == oldSelf.placement || (self.placement.nodeName == oldSelf.placement.nodeName && has(self.placement.cells) == has(oldSelf.placement.cells) && (!has(self.placement.cells) || self.placement.cells == oldSelf.placement.cells) && has(self.placement.devices) == has(oldSelf.placement.devices) && (!has(self.placement.devices) || self.placement.devices == oldSelf.placement.devices) && self.placement.granted.overhead == oldSelf.placement.granted.overhead && has(self.placement.granted.pageSize) == has(oldSelf.placement.granted.pageSize) && (!has(self.placement.granted.pageSize) || self.placement.granted.pageSize == oldSelf.placement.granted.pageSize) && has(self.placement.granted.maxCPU) == has(oldSelf.placement.granted.maxCPU) && (!has(self.placement.granted.maxCPU) || self.placement.granted.maxCPU == oldSelf.placement.granted.maxCPU) && has(self.placement.granted.maxMemory) == has(oldSelf.placement.granted.maxMemory) && (!has(self.placement.granted.maxMemory) || self.placement.granted.maxMemory == oldSelf.placement.granted.maxMemory) && (self.placement.granted.cpu == oldSelf.placement.granted.cpu || (has(self.placement.granted.maxCPU) && self.placement.granted.cpu <= self.placement.granted.maxCPU)) && (self.placement.granted.memory == oldSelf.placement.granted.memory || (has(self.placement.granted.maxMemory) && self.placement.granted.memory <= self.placement.granted.maxMemory)))))",fieldPath=".placement",message="is written once per epoch: of a VM that is bound, only granted.cpu and granted.memory may change, up to granted.maxCPU and granted.maxMemory"
type VirtualMachineStatus struct {
	// observedGeneration is the metadata.generation that the placement, and
	// after it the host, has acted upon. Writer: as phase.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase is the VM's life in one word. Writer: vm-scheduler while there is
	// no placement and when it binds; the host in placement afterwards.
	// +kubebuilder:default=Pending
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// reason and message are what matters most of conditions, for people; empty when
	// nothing is out of the ordinary. Writer: whoever writes conditions, in the same
	// write.
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`

	// epoch counts the VM's bindings that have ended. It grows when a placement
	// is cleared and never falls. Writer: vm-scheduler.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch"`

	// placement is where the VM is bound. Writer: vm-scheduler.
	// +structType=atomic
	// +optional
	Placement *Placement `json:"placement,omitempty"`

	// nominatedNodeName is the host where room is being made. Writer: vm-scheduler.
	// +optional
	NominatedNodeName string `json:"nominatedNodeName,omitempty"`

	// eviction asks the host in placement to give the VM up. Writer: vm-scheduler.
	// +optional
	Eviction *Eviction `json:"eviction,omitempty"`

	// excludedHosts are hosts that refused this VM lately. Writer: vm-scheduler.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	ExcludedHosts []HostExclusion `json:"excludedHosts,omitempty"`

	// hold keeps the VM out of the queue until its spec changes. Writer: vm-scheduler.
	// +optional
	Hold *Hold `json:"hold,omitempty"`

	// host is what the host says. Writer: the executor of the host in placement.
	// +optional
	Host *HostStatus `json:"host,omitempty"`

	// guest is what the guest's agent says; it stays while the agent is silent, and
	// is gone with the guest. Writer: the executor of the host in placement.
	// +optional
	Guest *GuestStatus `json:"guest,omitempty"`

	// interfaces are the cards of spec.interfaces that the guest has; they are gone
	// with the guest. Writer: the executor of the host in placement.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Interfaces []InterfaceStatus `json:"interfaces,omitempty"`

	// conditions: Scheduled, HostReachable, ResizePending and DiskClaimsPending are vm-scheduler's, all others the
	// executor's.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:default={}
	// +optional
	Conditions []metav1.Condition `json:"conditions"`
}
