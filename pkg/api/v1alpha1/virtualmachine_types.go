package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// PowerState is the state a VM shall be in.
// +kubebuilder:validation:Enum=Running;Stopped;Paused;Suspended
type PowerState string

const (
	// PowerRunning asks for a running guest: it is started when placed; whether
	// it is started again when it ends is runPolicy's to say.
	PowerRunning PowerState = "Running"
	// PowerStopped asks for no guest. What becomes of the VM's place on its host
	// is whenStopped's to say; one that was never placed is not placed.
	PowerStopped PowerState = "Stopped"
	// PowerPaused asks for a guest whose CPUs stand still, its memory kept. A VM
	// without a guest is not started for it.
	PowerPaused PowerState = "Paused"
	// PowerSuspended asks that the guest's memory be saved to the host's disk and
	// the guest ended: PowerRunning goes on from there. A VM without a guest is
	// not started for it. The VM keeps its place on the host, where the memory is.
	PowerSuspended PowerState = "Suspended"
)

// RunPolicy says when a guest that ended by itself is started again.
// +kubebuilder:validation:Enum=Always;OnFailure;Manual;Once
type RunPolicy string

const (
	// RunAlways starts the guest again whenever it has ended, with back-off.
	RunAlways RunPolicy = "Always"
	// RunOnFailure starts it again, with back-off, when it crashed or was killed,
	// or its host was switched off; a guest that shut itself down stays off until
	// it is started by hand.
	RunOnFailure RunPolicy = "OnFailure"
	// RunManual never starts it again by itself, however it ended.
	RunManual RunPolicy = "Manual"
	// RunOnce has the VM run to its end once: it is never started a second time,
	// by hand neither.
	RunOnce RunPolicy = "Once"
)

// SlotPolicy says what a stopped VM does with its place on its host.
// +kubebuilder:validation:Enum=Hold;Release
type SlotPolicy string

const (
	// SlotHold keeps the place: the VM starts again at once and where it was.
	SlotHold SlotPolicy = "Hold"
	// SlotRelease gives it back, the domain is removed from the host, and the VM
	// is placed anew when it is started.
	SlotRelease SlotPolicy = "Release"
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
// top is added by Domus. What amounts mean together is checked in pkg/admission.
type VirtualMachineResources struct {
	// cpu is the number of virtual CPUs, whole and at least 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	CPU int32 `json:"cpu"`

	// memory is the guest's memory, as a Kubernetes quantity such as 512Mi or 4Gi;
	// at least 1Mi.
	Memory resource.Quantity `json:"memory"`

	// maxCPU is how many virtual CPUs the guest can be given while it runs: cpu
	// may be raised up to here without a restart, where its host has them. It
	// reserves nothing. Default: the guest has cpu until it is started anew. Not
	// with a numa policy or dedicated CPUs.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	// +optional
	MaxCPU int32 `json:"maxCPU,omitempty"`

	// maxMemory is how much memory the guest can be given while it runs: memory
	// may be raised up to here, and lowered, without a restart, by the guest's
	// balloon. It reserves nothing, and the guest is kept from it by its own
	// balloon driver alone: more than memory is for privileged namespaces. Default:
	// the guest has memory until it is started anew. Not with hugepages, a numa
	// policy or host devices.
	// +optional
	MaxMemory *resource.Quantity `json:"maxMemory,omitempty"`

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

	// overhead is the ordinary memory in bytes that QEMU itself is granted on
	// top of the guest's. Default: computed from cpu, memory and the devices in
	// domain. Less than that is for privileged namespaces.
	// +optional
	Overhead *resource.Quantity `json:"overhead,omitempty"`

	// devices are host devices passed through to the guest. With a numa policy
	// they are near the guest's cells.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Devices []DeviceRequest `json:"devices,omitempty"`
}

// SchedulingGroup names the group that a VM is placed with, like corev1's
// PodSchedulingGroup.
type SchedulingGroup struct {
	// podGroupName names a PodGroup (scheduling.k8s.io/v1beta1) in the VM's
	// namespace. Its policy gang has none of the VMs bound before minCount of
	// them fit at once. It may be created after the VM, which waits for it. The
	// cluster must serve that API, and vm-scheduler have the feature gate
	// GenericWorkload on; otherwise the VM waits.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodGroupName string `json:"podGroupName"`
}

// VirtualMachineSpec is what the user wants. Only users write it. What of it may
// not change is in manifests/base/policy/virtualmachine-spec.yaml.
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

	// runPolicy says when a guest that ended by itself is started again. Default
	// Always.
	// +kubebuilder:default=Always
	// +optional
	RunPolicy RunPolicy `json:"runPolicy,omitempty"`

	// whenStopped says what a stopped VM does with its place on its host. Default
	// Hold.
	// +kubebuilder:default=Hold
	// +optional
	WhenStopped SlotPolicy `json:"whenStopped,omitempty"`

	// uuid is the domain's UUID. It defaults to the object's UID.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	// +kubebuilder:validation:MaxLength=36
	// +optional
	UUID string `json:"uuid,omitempty"`

	// class names a VirtualMachineClass that gives resources, and defaults of
	// domain. What is taken over is written into this spec, so that the VM keeps
	// it.
	// +optional
	Class *ClassReference `json:"class,omitempty"`

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

	// schedulingGroup makes the VM a member of a group that is placed together,
	// as the Pod's field of that name does.
	// +optional
	SchedulingGroup *SchedulingGroup `json:"schedulingGroup,omitempty"`

	// terminationGracePeriodSeconds is how long a guest has to shut down when
	// asked, before it is switched off.
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	// +optional
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`

	// cloudInit is what the guest's cloud-init is told when it starts.
	// +optional
	CloudInit *CloudInit `json:"cloudInit,omitempty"`

	// firmwareState says whether UEFI variables and TPM state may be lost when the
	// VM gives its place up: stopped with whenStopped Release, or for another size.
	// An eviction takes them in any case. Default Keep.
	// +optional
	FirmwareState FirmwareStatePolicy `json:"firmwareState,omitempty"`

	// disks are the VirtualDisks that the guest has, beside what domain has of
	// disks.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Disks []VirtualMachineDisk `json:"disks,omitempty"`

	// interfaces are the cards that the guest has on VirtualNetworks, beside what
	// domain has of cards. They may be added and removed while the guest runs.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Interfaces []VirtualMachineInterface `json:"interfaces,omitempty"`

	// ports are the guest's ports that Services and probes call by name. They open
	// nothing and close nothing.
	// +listType=map
	// +listMapKey=name
	// +listMapKey=protocol
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Ports []GuestPort `json:"ports,omitempty"`

	// readinessProbe finds out whether the guest serves. Services do not lead to a VM
	// of which it fails.
	// +optional
	ReadinessProbe *ReadinessProbe `json:"readinessProbe,omitempty"`

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

// VirtualMachine is a libvirt domain placed by kube-scheduler.
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vm,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.status.placement.nodeName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.placement.nodeName`
// +kubebuilder:printcolumn:name="CPU",type=integer,JSONPath=`.spec.resources.cpu`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.resources.memory`
// +kubebuilder:printcolumn:name="Hugepages",type=string,JSONPath=`.spec.resources.hugepages.pageSize`,priority=1
// +kubebuilder:printcolumn:name="Addresses",type=string,JSONPath=`.status.guest.addresses`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:printcolumn:name="Deleted",type=date,JSONPath=`.metadata.deletionTimestamp`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualMachine struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec VirtualMachineSpec `json:"spec"`
	// status is one field to whoever applies: nobody applies it, and who owns what
	// in it would be worked out, stored and sent at each of its many writes.
	// +structType=atomic
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

// RanOnce says that the VM has run and is never started again, as runPolicy Once
// has it. What host says of an earlier epoch counts too.
func (vm *VirtualMachine) RanOnce() bool {
	return vm.Spec.RunPolicy == RunOnce && vm.Status.Host != nil && vm.Status.Host.StartedAt != nil
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
