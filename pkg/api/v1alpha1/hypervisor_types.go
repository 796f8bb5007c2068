package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PagePool is a host's or a cell's pool of hugepages of one size.
type PagePool struct {
	// size is the page size.
	Size PageSize `json:"size"`
	// total is the number of pages in the pool.
	Total int64 `json:"total"`
}

// CellDistance is the ACPI SLIT distance to another cell (10 is local).
type CellDistance struct {
	Cell     int32 `json:"cell"`
	Distance int32 `json:"distance"`
}

// Cell is one NUMA cell of a host.
type Cell struct {
	// id is the cell's number on the host.
	ID int32 `json:"id"`
	// cpus is the set of the host's logical CPUs in this cell, in Linux list
	// format: 0-3,8-11.
	CPUs string `json:"cpus"`
	// siblings are the cell's cores with more than one hardware thread, each as
	// a set in Linux list format: 0,8. A CPU in none of them is a core alone.
	// +listType=atomic
	// +optional
	Siblings []string `json:"siblings,omitempty"`
	// memory is the cell's memory in bytes, hugepage pools included.
	Memory int64 `json:"memory"`
	// hugepages are the cell's pools.
	// +listType=map
	// +listMapKey=size
	// +optional
	Hugepages []PagePool `json:"hugepages,omitempty"`
	// distances to the other cells.
	// +listType=map
	// +listMapKey=cell
	// +optional
	Distances []CellDistance `json:"distances,omitempty"`
	// foreign is what domains that are not ours have bound to this cell.
	// +optional
	Foreign *ForeignUse `json:"foreign,omitempty"`
}

// ForeignUse is what domains that Domus does not own take of a cell. What they
// take without being bound to a cell lowers allocatable alone.
type ForeignUse struct {
	// cpus are the CPUs to which their vCPUs are pinned, in Linux list format:
	// no VM gets them for itself.
	// +optional
	CPUs string `json:"cpus,omitempty"`
	// memory is their ordinary memory there in bytes.
	// +optional
	Memory int64 `json:"memory,omitempty"`
	// hugepages2Mi and hugepages1Gi are their pages there.
	// +optional
	Hugepages2Mi int64 `json:"hugepages2Mi,omitempty"`
	// +optional
	Hugepages1Gi int64 `json:"hugepages1Gi,omitempty"`
}

// HostMode says how a host is shared between VMs and pods.
// +kubebuilder:validation:Enum=Dedicated;Partitioned
type HostMode string

const (
	// ModeDedicated means that the host is for VMs alone; its Node is tainted against pods.
	ModeDedicated HostMode = "Dedicated"
	// ModePartitioned means that VMs own a fixed share of the host, and the
	// kubelet the rest.
	ModePartitioned HostMode = "Partitioned"
)

// DomainType is one kind of virtualization the host offers for an architecture.
type DomainType struct {
	// type is libvirt's: kvm, qemu, test.
	Type string `json:"type"`
	// arch is libvirt's: x86_64, aarch64, ...
	Arch string `json:"arch"`
	// machines are the machine types, canonical names.
	// +listType=atomic
	// +optional
	Machines []string `json:"machines,omitempty"`
	// cpuModels are the named CPU models that guests can have here.
	// +listType=atomic
	// +optional
	CPUModels []string `json:"cpuModels,omitempty"`
	// cpuFeatures are the CPU features that guests can have here.
	// +listType=atomic
	// +optional
	CPUFeatures []string `json:"cpuFeatures,omitempty"`
	// firmware lists what guests can boot with: bios, efi.
	// +listType=atomic
	// +optional
	Firmware []string `json:"firmware,omitempty"`
	// secureBoot is true when efi firmware with Secure Boot is there.
	// +optional
	SecureBoot bool `json:"secureBoot,omitempty"`
}

// Versions names the software on the host.
type Versions struct {
	Executor string `json:"executor,omitempty"`
	Libvirt  string `json:"libvirt,omitempty"`
	// hypervisor is QEMU's version on a QEMU host.
	Hypervisor string `json:"hypervisor,omitempty"`
	Kernel     string `json:"kernel,omitempty"`
}

// HostCapacity is a sum of resources on a host.
type HostCapacity struct {
	// cpu counts virtual CPUs.
	CPU int64 `json:"cpu"`
	// memory is ordinary memory in bytes, hugepage pools excluded.
	Memory int64 `json:"memory"`
	// hugepages2Mi and hugepages1Gi are bytes in those pools.
	Hugepages2Mi int64 `json:"hugepages2Mi"`
	Hugepages1Gi int64 `json:"hugepages1Gi"`
}

// HostSummary is the host in words, for people.
type HostSummary struct {
	// memory such as 15.6Gi.
	// +optional
	Memory string `json:"memory,omitempty"`
	// hugepages such as 2Mi:1Gi,1Gi:4Gi; empty when the host has no pool.
	// +optional
	Hugepages string `json:"hugepages,omitempty"`
	// cells is the number of NUMA cells.
	// +optional
	Cells int32 `json:"cells,omitempty"`
}

// QuarantinedDomain is a domain that carries our ownership mark and whose
// VirtualMachine cannot be found. It is left running for a person to decide.
type QuarantinedDomain struct {
	Name   string `json:"name"`
	UUID   string `json:"uuid"`
	Reason string `json:"reason"`
}

// HostPool is an active storage pool of libvirt's on the host.
type HostPool struct {
	// name is libvirt's.
	Name string `json:"name"`
	// type is libvirt's: dir, fs, netfs, logical, rbd, zfs.
	Type string `json:"type"`
	// store is the same on every host that has this very store as a pool, such as
	// netfs://server/export; empty for one that only this host has.
	// +optional
	Store string `json:"store,omitempty"`
	// capacity is the pool's size in bytes.
	Capacity int64 `json:"capacity"`
	// allocatable is what VirtualDisks may take of it together, in bytes: what is
	// free and what they take already. It is rounded down, and changes only when
	// others take or free much.
	Allocatable int64 `json:"allocatable"`
}

// Condition types and reasons of a Hypervisor.
const (
	// HypervisorReady is True while the executor reaches libvirt.
	HypervisorReady = "Ready"
	// ReasonLibvirtConnected, ReasonLibvirtUnavailable and
	// ReasonExecutorUnreachable are its reasons.
	ReasonLibvirtConnected    = "LibvirtConnected"
	ReasonLibvirtUnavailable  = "LibvirtUnavailable"
	ReasonExecutorUnreachable = "ExecutorUnreachable"

	// HypervisorConsistent is False while the host's Hypervisor and its Node
	// contradict each other; vm-scheduler counts on the smaller amounts, and
	// writes the condition.
	HypervisorConsistent = "Consistent"
	// ReasonReportsAgree, ReasonReportsDiffer and ReasonReportUnreadable are its
	// reasons.
	ReasonReportsAgree     = "ReportsAgree"
	ReasonReportsDiffer    = "ReportsDiffer"
	ReasonReportUnreadable = "ReportUnreadable"

	// HypervisorPartitioned says, on a host in mode Partitioned, whether the
	// kubelet leaves the VMs their share.
	HypervisorPartitioned = "Partitioned"
	// ReasonShareReserved and ReasonShareNotReserved are its reasons.
	ReasonShareReserved    = "ShareReserved"
	ReasonShareNotReserved = "ShareNotReserved"
)

// HypervisorSpec is empty: a host is described, not asked for.
type HypervisorSpec struct{}

// HypervisorStatus is what libvirt says of the host. The executor writes it,
// and only when something has changed.
type HypervisorStatus struct {
	// simulated is true when no guest really runs here.
	// +optional
	Simulated bool `json:"simulated,omitempty"`
	// mode says whether the host is for VMs alone.
	// +optional
	Mode HostMode `json:"mode,omitempty"`
	// capacity is what the host physically has; in mode Partitioned, the share
	// of it that is the VMs'.
	// +optional
	Capacity HostCapacity `json:"capacity,omitempty"`
	// allocatable is what VMs may be granted in sum.
	// +optional
	Allocatable HostCapacity `json:"allocatable,omitempty"`
	// summary is the host in words: allocatable amounts and the cells.
	// +optional
	Summary HostSummary `json:"summary,omitempty"`
	// cpuOvercommit is the ratio of virtual to physical CPUs, such as "4".
	// +optional
	CPUOvercommit string `json:"cpuOvercommit,omitempty"`
	// cells are the NUMA cells.
	// +listType=map
	// +listMapKey=id
	// +optional
	Cells []Cell `json:"cells,omitempty"`
	// domainTypes are the usable kinds of virtualization, the preferred first.
	// +listType=atomic
	// +optional
	DomainTypes []DomainType `json:"domainTypes,omitempty"`
	// devices are the PCI devices that guests may be given.
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=512
	// +optional
	Devices []HostDevice `json:"devices,omitempty"`
	// versions of what runs there.
	// +optional
	Versions Versions `json:"versions,omitempty"`
	// foreignDomains counts domains on the host that Domus does not own.
	// +optional
	ForeignDomains int32 `json:"foreignDomains,omitempty"`
	// pools are the host's active storage pools, by name.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Pools []HostPool `json:"pools,omitempty"`
	// interfaces are the host's bridges and devices that networks can lead to, by
	// name; those that libvirt or Domus made are left out.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Interfaces []HostInterface `json:"interfaces,omitempty"`
	// networks are the VirtualNetworks that the host has made, or fails to make.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Networks []HostNetwork `json:"networks,omitempty"`
	// cniNetworks are the CNI configurations of the host that VMs can have a card on.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +optional
	CNINetworks []string `json:"cniNetworks,omitempty"`
	// cniPlugins are the types of CNI plugins that NetworkAttachmentDefinitions may name
	// for cards on the host, as far as it has them.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +optional
	CNIPlugins []string `json:"cniPlugins,omitempty"`
	// transfer is where the host exchanges the bytes of volumes with others.
	// +optional
	Transfer *HostTransfer `json:"transfer,omitempty"`
	// quarantined are owned domains without a VirtualMachine.
	// +listType=map
	// +listMapKey=uuid
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Quarantined []QuarantinedDomain `json:"quarantined,omitempty"`
	// conditions: Ready, Partitioned; and Consistent, which vm-scheduler writes.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Hypervisor describes a host that runs a vm-executor. It has its Node's name.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=hv
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="CPU",type=integer,JSONPath=`.status.allocatable.cpu`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.status.summary.memory`
// +kubebuilder:printcolumn:name="Hugepages",type=string,JSONPath=`.status.summary.hugepages`
// +kubebuilder:printcolumn:name="Cells",type=integer,JSONPath=`.status.summary.cells`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.domainTypes[0].type`
// +kubebuilder:printcolumn:name="Simulated",type=boolean,JSONPath=`.status.simulated`,priority=1
// +kubebuilder:printcolumn:name="Libvirt",type=string,JSONPath=`.status.versions.libvirt`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Hypervisor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec HypervisorSpec `json:"spec,omitempty"`
	// +optional
	Status HypervisorStatus `json:"status,omitempty"`
}

// HypervisorList is a list of Hypervisors.
// +kubebuilder:object:root=true
type HypervisorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Hypervisor `json:"items"`
}
