package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// PowerState is the state a VM shall be in.
// +kubebuilder:validation:Enum=Running;Stopped
type PowerState string

const (
	// PowerRunning asks for a running guest: it is started when placed, and
	// started again (with back-off) when it ends.
	PowerRunning PowerState = "Running"
	// PowerStopped asks for no guest. A placed VM keeps its host and its
	// resources there; one that was never placed is not placed.
	PowerStopped PowerState = "Stopped"
)

// PageSize names a hugepage size.
// +kubebuilder:validation:Enum="2Mi";"1Gi"
type PageSize string

// Sizes of hugepages.
const (
	PageSize2Mi PageSize = "2Mi"
	PageSize1Gi PageSize = "1Gi"
)

// Hugepages asks that guest memory lie in hugepages.
type Hugepages struct {
	// pageSize is the size of the pages. Memory must be a multiple of it.
	PageSize PageSize `json:"pageSize"`
}

// VirtualMachineResources is what the guest sees. What QEMU itself needs on
// top is added by Domus.
// +kubebuilder:validation:XValidation:rule="!has(self.hugepages) || !quantity(string(self.memory)).isInteger() || quantity(string(self.memory)).asInteger() % (self.hugepages.pageSize == '1Gi' ? 1073741824 : 2097152) == 0",fieldPath=".memory",message="must be a multiple of hugepages.pageSize: round memory up to whole pages, or choose a smaller page size"
// +kubebuilder:validation:XValidation:rule="!has(self.threads) || (has(self.cpuPolicy) && self.cpuPolicy == 'dedicated')",fieldPath=".threads",message="is only for dedicated CPUs: set cpuPolicy to dedicated, or leave threads out"
type VirtualMachineResources struct {
	// cpu is the number of virtual CPUs, whole and at least 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	CPU int32 `json:"cpu"`

	// memory is the guest's memory, as a Kubernetes quantity such as 512Mi or 4Gi;
	// at least 1Mi.
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).isInteger() && quantity(string(self)).compareTo(quantity('1Mi')) >= 0",message="must be a whole number of bytes, at least 1Mi, written like 512Mi or 4Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('64Ti')) <= 0",message="must be at most 64Ti"
	Memory resource.Quantity `json:"memory"`

	// hugepages, when set, puts the guest's memory into hugepages; it is never
	// taken from ordinary memory instead.
	// +optional
	Hugepages *Hugepages `json:"hugepages,omitempty"`

	// numa says how the guest lies on the host's NUMA cells. Default none: on
	// any of them, as the host's kernel decides.
	// +optional
	NUMA NUMAPolicy `json:"numa,omitempty"`

	// cpuPolicy says whom host CPUs are shared with. Default shared: with other
	// guests; dedicated pins each vCPU to a host CPU of its own.
	// +optional
	CPUPolicy CPUPolicy `json:"cpuPolicy,omitempty"`

	// threads says which hardware threads dedicated CPUs are, and needs
	// cpuPolicy dedicated. Default together: all threads of a core before the
	// next core; apart takes one of each core and leaves its siblings idle.
	// +optional
	Threads ThreadPolicy `json:"threads,omitempty"`
}

// VirtualMachineSpec is what the user wants. Only users write it.
// +kubebuilder:validation:XValidation:rule="has(self.uuid) == has(oldSelf.uuid) && (!has(self.uuid) || self.uuid == oldSelf.uuid)",fieldPath=".uuid",message="is immutable: delete the VirtualMachine and create it anew to change it"
// +kubebuilder:validation:XValidation:rule="self.schedulerName == oldSelf.schedulerName",fieldPath=".schedulerName",message="is immutable: delete the VirtualMachine and create it anew to change it"
type VirtualMachineSpec struct {
	// schedulerName chooses who places this VM: a profile of vm-scheduler. A
	// name that no scheduler serves leaves the VM pending, as with pods.
	// +kubebuilder:default="vm-scheduler"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SchedulerName string `json:"schedulerName,omitempty"`

	// powerState is the state the VM shall be in.
	// +kubebuilder:default=Running
	// +optional
	PowerState PowerState `json:"powerState,omitempty"`

	// uuid is the domain's UUID. It defaults to the object's UID.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	// +kubebuilder:validation:MaxLength=36
	// +optional
	UUID string `json:"uuid,omitempty"`

	// resources is what the guest sees.
	Resources VirtualMachineResources `json:"resources"`

	// nodeSelector limits the hosts to Nodes with these labels.
	// +mapType=atomic
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// affinity attracts the VM to, or keeps it away from, Nodes and other VMs.
	// podAffinity and podAntiAffinity select VMs (and pods) by label.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// tolerations let the VM onto tainted Nodes. The taint of hosts reserved
	// for VMs is always tolerated.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// topologySpreadConstraints spread VMs over zones, racks or hosts.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// priorityClassName names a PriorityClass: who goes first, and who may
	// evict whom.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// terminationGracePeriodSeconds is how long a guest has to shut down when
	// asked, before it is switched off.
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	// +optional
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`

	// domain is libvirt's own domain for everything Kubernetes need not know:
	// devices, firmware, clock, features, ... What the fields above and the
	// placement decide (name, uuid, metadata, vcpu, memory, tuning) must not
	// be given here.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +mapType=atomic
	// +optional
	Domain *runtime.RawExtension `json:"domain,omitempty"`
}

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
}

// Placement is the scheduler's decision. It is written once per epoch.
type Placement struct {
	// nodeName is the chosen host.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName"`
	// granted is what the VM may use there until its next placement.
	Granted GrantedResources `json:"granted"`
	// cells are the NUMA cells that hold the VM, by ascending id. What of
	// granted lies in none of them is bound to no cell.
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Cells []PlacedCell `json:"cells,omitempty"`
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
// +kubebuilder:validation:Enum=Running;Paused;Stopping;Stopped;Failed;Rejected;Gone
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
	// HostFailed means that the guest ended or could not be started.
	HostFailed HostState = "Failed"
	// HostRejected means that the host will not run the VM; nothing of it is defined there.
	HostRejected HostState = "Rejected"
	// HostGone means that the guest was stopped and undefined as the eviction asked.
	HostGone HostState = "Gone"
)

// Reasons in status.host.reason.
const (
	// ReasonHostUnfit: this host cannot run the VM now; another may.
	ReasonHostUnfit = "HostUnfit"
	// ReasonInvalidDomain: no host can run this spec.
	ReasonInvalidDomain = "InvalidDomain"
	// ReasonEvicted: the guest was stopped because the scheduler asked for it.
	ReasonEvicted = "Evicted"
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
}

// Condition types and reasons of a VirtualMachine.
const (
	// ConditionScheduled is True when a host holds the VM. Written by vm-scheduler.
	ConditionScheduled = "Scheduled"
	// ReasonScheduled, ReasonUnschedulable, ReasonSchedulerError and
	// ReasonPreempted, ReasonHostRejected are reasons of ConditionScheduled,
	// and so is ReasonInvalidDomain.
	ReasonScheduled      = "Scheduled"
	ReasonUnschedulable  = "Unschedulable"
	ReasonSchedulerError = "SchedulerError"
	ReasonPreempted      = "Preempted"
	ReasonHostRejected   = "HostRejected"

	// ConditionReady is True while the guest runs. Written by the executor; its
	// reasons are the HostState words and the reasons of status.host.
	ConditionReady = "Ready"
)

// VirtualMachineStatus is what Domus knows. Each field has one writer: the
// vm-scheduler's leader, or the executor of the host in placement.
// +kubebuilder:validation:XValidation:rule="self.epoch >= oldSelf.epoch",fieldPath=".epoch",message="never falls: each epoch is one binding of the VM to a host"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.placement) || self.epoch > oldSelf.epoch || (has(self.placement) && self.placement == oldSelf.placement)",fieldPath=".placement",message="is written once per epoch: the VM is bound already"
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

	// epoch counts the VM's bindings that have ended. It grows when a placement
	// is cleared and never falls. Writer: vm-scheduler.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch"`

	// placement is where the VM is bound. Writer: vm-scheduler.
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

	// conditions: Scheduled is vm-scheduler's, all others the executor's.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:default={}
	// +optional
	Conditions []metav1.Condition `json:"conditions"`
}

// VirtualMachine is a libvirt domain placed by kube-scheduler.
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 180",message="metadata.name must be at most 180 characters: hosts name files after the VirtualMachine and its namespace"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status.placement) || self.spec.resources == oldSelf.spec.resources",fieldPath=".spec.resources",message="cannot change while the VirtualMachine is bound to a host: delete it and create it anew with other resources"
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vm,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.status.placement.nodeName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.placement.nodeName`
// +kubebuilder:printcolumn:name="CPU",type=integer,JSONPath=`.spec.resources.cpu`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.resources.memory`
// +kubebuilder:printcolumn:name="Hugepages",type=string,JSONPath=`.spec.resources.hugepages.pageSize`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.status=="False")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.status=="False")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualMachine struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualMachineSpec `json:"spec"`
	// +kubebuilder:default={"epoch":0}
	// +optional
	Status VirtualMachineStatus `json:"status"`
}

// VirtualMachineList is a list of VirtualMachines.
// +kubebuilder:object:root=true
type VirtualMachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualMachine `json:"items"`
}

// DomainUUID is the UUID the VM's libvirt domain has: spec.uuid, or else the
// object's own UID.
func (vm *VirtualMachine) DomainUUID() string {
	if vm.Spec.UUID != "" {
		return vm.Spec.UUID
	}
	return string(vm.UID)
}

// DomainName is the name of the VM's libvirt domain: namespace and name joined
// by a slash-free separator that neither can contain, so that names of
// different namespaces never collide on a host.
func (vm *VirtualMachine) DomainName() string {
	return vm.Namespace + ":" + vm.Name
}

// PlacedOn says whether the VM is bound to the host node in its current epoch.
func (vm *VirtualMachine) PlacedOn(node string) bool {
	return vm.Status.Placement != nil && vm.Status.Placement.NodeName == node
}

// Owner identifies a VirtualMachine binding: which object, which life of it,
// which epoch.
type Owner struct {
	Namespace, Name string
	UID             types.UID
	Epoch           int64
}

// Owner returns the identity of the VM's current binding.
func (vm *VirtualMachine) Owner() Owner {
	return Owner{Namespace: vm.Namespace, Name: vm.Name, UID: vm.UID, Epoch: vm.Status.Epoch}
}
