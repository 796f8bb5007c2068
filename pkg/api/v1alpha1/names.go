package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Names that several components must spell alike.
const (
	// DefaultSchedulerName is the profile that places a VM whose
	// spec.schedulerName is empty.
	DefaultSchedulerName = "vm-scheduler"

	// DomainFinalizer is stored on a VirtualMachine before its host defines
	// the libvirt domain, and removed after the domain is undefined: an object
	// cannot vanish while a guest of it may run.
	DomainFinalizer = "domus.dev/domain"

	// VolumeFinalizer is stored on a VirtualDisk before its host makes the volume,
	// and removed when that is gone or given up to a person.
	VolumeFinalizer = "domus.dev/volume"

	// NetworkFinalizer is stored on a VirtualNetwork before any host makes it, and
	// removed when none has it any more.
	NetworkFinalizer = "domus.dev/network"
	// SnapshotFinalizer is stored on a VirtualMachineSnapshot before its host makes
	// it, and removed when nothing of it is left in the disks.
	SnapshotFinalizer = "domus.dev/snapshot"
	// ImageFinalizer is stored on a VirtualDiskImage, and removed after its deletion
	// when no disk stands on it: its hosts remove their copies when it is gone.
	ImageFinalizer = "domus.dev/image"

	// HypervisorTaint keeps ordinary pods off a host whose capacity belongs to
	// VMs. Projected VMs tolerate it.
	HypervisorTaint = "domus.dev/hypervisor"

	// LibvirtUnavailableTaint is set on a Node while its executor cannot reach
	// libvirt, so that no VM is placed there. Running guests are not touched.
	LibvirtUnavailableTaint = "domus.dev/libvirt-unavailable"

	// ExecutorUnreachableTaint is set by the vm-scheduler's leader on a Node
	// whose executor has stopped renewing its Lease.
	ExecutorUnreachableTaint = "domus.dev/executor-unreachable"

	// HypervisorLabel marks the Nodes that run a vm-executor.
	HypervisorLabel = "domus.dev/hypervisor"

	// PolicyLevelLabel on a Namespace chooses what spec.domain may contain
	// there; see PolicyLevel.
	PolicyLevelLabel = "domus.dev/policy-level"

	// GivenAnnotation on a VirtualMachine holds what its class gave it, as a
	// VirtualMachineClassSpec in JSON. vm-scheduler writes it with
	// spec.class.revision.
	GivenAnnotation = "domus.dev/given-by-class"

	// NotationAnnotation on an object that was made of libvirt's XML holds what of
	// the document the object's fields do not tell, as a list of differences in
	// JSON; see docs/convert.md. Nothing but the way back to XML looks at it.
	NotationAnnotation = "domus.dev/libvirt-notation"

	// MetadataAnnotation on an object holds what stood inside the <metadata>
	// element of the libvirt document that the object was made of, as XML.
	MetadataAnnotation = "domus.dev/libvirt-metadata"

	// MaxClassBytes is the largest VirtualMachineClass accepted, as JSON without
	// managedFields: its VMs have it twice, and are to have room for their own.
	MaxClassBytes = 32 * 1024

	// MaxDocumentBytes is the largest VirtualMachine accepted, as JSON without
	// managedFields and status.
	MaxDocumentBytes = 128 * 1024

	// LeaseNamespace holds the Leases by which executors show that they live.
	LeaseNamespace = "kube-node-lease"
)

// Extended resources by which an executor reports its host on the Node.
// Capacity is physical; allocatable is what VMs may be granted in sum, after
// host reserve, CPU overcommit and domains that Domus does not own.
const (
	// ResourceCPU counts virtual CPUs (whole, rounded down).
	ResourceCPU corev1.ResourceName = "domus.dev/cpu"
	// ResourceMemory is ordinary memory in bytes, hugepage pools excluded.
	ResourceMemory corev1.ResourceName = "domus.dev/memory"
	// ResourceHugepages2Mi is memory in the 2 MiB page pool, in bytes.
	ResourceHugepages2Mi corev1.ResourceName = "domus.dev/hugepages-2Mi"
	// ResourceHugepages1Gi is memory in the 1 GiB page pool, in bytes.
	ResourceHugepages1Gi corev1.ResourceName = "domus.dev/hugepages-1Gi"
)

// HostResources lists the extended resources an executor reports, in order.
func HostResources() []corev1.ResourceName {
	return []corev1.ResourceName{ResourceCPU, ResourceMemory, ResourceHugepages2Mi, ResourceHugepages1Gi}
}

// PolicyLevel says how much of libvirt a namespace's VMs may use.
type PolicyLevel string

const (
	// PolicyRestricted is the default: it refuses whatever names a host path, a
	// program, a device or a socket.
	PolicyRestricted PolicyLevel = "restricted"
	// PolicyPrivileged allows every domain libvirt understands: its users are
	// root on the host.
	PolicyPrivileged PolicyLevel = "privileged"
)
