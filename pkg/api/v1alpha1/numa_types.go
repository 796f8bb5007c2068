package v1alpha1

// NUMAPolicy says how a VM lies on the NUMA cells of its host. Empty means
// NUMANone. Its arithmetic is in pkg/capacity/numa.
// +kubebuilder:validation:Enum=none;single-cell;restricted;spread
type NUMAPolicy string

// Policies for NUMA cells.
const (
	// NUMANone binds the guest to no cell: the host's kernel decides.
	NUMANone NUMAPolicy = "none"
	// NUMASingleCell puts vCPUs and guest memory into one cell.
	NUMASingleCell NUMAPolicy = "single-cell"
	// NUMARestricted splits the guest evenly over as few cells as can hold it,
	// near each other.
	NUMARestricted NUMAPolicy = "restricted"
	// NUMASpread splits the guest evenly over as many cells as can hold it.
	NUMASpread NUMAPolicy = "spread"
)

// CPUPolicy says whom a VM shares host CPUs with. Empty means CPUShared.
// +kubebuilder:validation:Enum=shared;dedicated
type CPUPolicy string

// Policies for host CPUs.
const (
	// CPUShared runs the vCPUs on the CPUs that no VM has to itself.
	CPUShared CPUPolicy = "shared"
	// CPUDedicated pins each vCPU to a host CPU that nobody else is given.
	CPUDedicated CPUPolicy = "dedicated"
)

// ThreadPolicy says which hardware threads dedicated CPUs are. Empty means
// ThreadsTogether.
// +kubebuilder:validation:Enum=together;apart
type ThreadPolicy string

// Policies for hardware threads.
const (
	// ThreadsTogether fills a core's threads (SMT siblings) before it begins
	// another core.
	ThreadsTogether ThreadPolicy = "together"
	// ThreadsApart uses one thread of a core and leaves its siblings idle; they
	// count as used.
	ThreadsApart ThreadPolicy = "apart"
)

// PlacedCell is what a placement takes of one NUMA cell of its host.
type PlacedCell struct {
	// id is the cell's number on the host.
	// +kubebuilder:validation:Minimum=0
	ID int32 `json:"id"`
	// cpu is the number of the guest's vCPUs there.
	// +kubebuilder:validation:Minimum=0
	// +optional
	CPU int32 `json:"cpu,omitempty"`
	// memory is the number of bytes of guest memory there, in ordinary memory
	// or in hugepages of granted.pageSize.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Memory int64 `json:"memory,omitempty"`
	// cpus are the host CPUs to which the vCPUs there are pinned, one each, in
	// Linux list format (0-3,8); empty when host CPUs are shared.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	CPUs string `json:"cpus,omitempty"`
	// idle are the siblings of cpus that are kept free of any guest because
	// threads are apart, in Linux list format.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Idle string `json:"idle,omitempty"`
}
