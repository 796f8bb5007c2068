package hostconfig

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/cpuset"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Mode says how a host is shared between VMs and pods, as a configuration
// spells it.
type Mode string

// Modes of a host.
const (
	ModeDedicated   Mode = "dedicated"
	ModePartitioned Mode = "partitioned"
)

// Reported is the mode as the API spells it.
func (m Mode) Reported() v1alpha1.HostMode {
	if m == ModePartitioned {
		return v1alpha1.ModePartitioned
	}
	return v1alpha1.ModeDedicated
}

// ShareConfiguration is what VMs own of one NUMA cell of a partitioned host. It
// is given by cell, as a kubelet's reservedMemory is: CPUs and pages are of a
// cell, and no rule by which the executor split a sum could be the kubelet's.
type ShareConfiguration struct {
	// cell is the cell's number on the host.
	Cell int32 `json:"cell"`
	// cpus are logical CPUs in Linux list format: 4-15,20-31.
	CPUs string `json:"cpus"`
	// memory is ordinary memory; hugepages are beside it.
	Memory resource.Quantity `json:"memory"`
	// hugepages2Mi and hugepages1Gi are numbers of pages.
	Hugepages2Mi int64 `json:"hugepages2Mi,omitempty"`
	Hugepages1Gi int64 `json:"hugepages1Gi,omitempty"`
}

func (h *HostConfiguration) validateMode(path *field.Path) field.ErrorList {
	share := path.Child("share")
	switch h.Mode {
	case ModeDedicated:
		if len(h.Share) > 0 {
			return field.ErrorList{field.Forbidden(share, "a dedicated host is the VMs' as a whole: set mode to partitioned, or remove share")}
		}
		return nil
	case ModePartitioned:
	default:
		return field.ErrorList{field.NotSupported(path.Child("mode"), h.Mode, []Mode{ModeDedicated, ModePartitioned})}
	}
	var errs field.ErrorList
	if h.RegisterNode {
		errs = append(errs, field.Forbidden(path.Child("registerNode"), "a partitioned host is shared with its kubelet, which registers the Node: remove registerNode, or set mode to dedicated"))
	}
	if !h.Reserve.CPU.IsZero() || !h.Reserve.Memory.IsZero() {
		errs = append(errs, field.Forbidden(path.Child("reserve"), "share is what VMs get: leave out of it what the host keeps, and remove reserve"))
	}
	if len(h.Share) == 0 {
		errs = append(errs, field.Required(share, "say what VMs own of each NUMA cell"))
	}
	used, cells := cpuset.New(), map[int32]bool{}
	for i := range h.Share {
		s, at := &h.Share[i], share.Index(i)
		if s.Cell < 0 {
			errs = append(errs, field.Invalid(at.Child("cell"), s.Cell, "must not be negative"))
		}
		if cells[s.Cell] {
			errs = append(errs, field.Duplicate(at.Child("cell"), s.Cell))
		}
		cells[s.Cell] = true
		cpus, err := cpuset.Parse(s.CPUs)
		switch {
		case err != nil || cpus.IsEmpty():
			errs = append(errs, field.Invalid(at.Child("cpus"), s.CPUs, "must be a list such as 4-15,20-31"))
		case !cpus.Intersection(used).IsEmpty():
			errs = append(errs, field.Invalid(at.Child("cpus"), s.CPUs, "a CPU is in one cell only"))
		}
		used = used.Union(cpus)
		if s.Memory.Sign() <= 0 {
			errs = append(errs, field.Invalid(at.Child("memory"), s.Memory.String(), "must be more than 0: QEMU itself needs ordinary memory, also for guests in hugepages"))
		}
		if s.Hugepages2Mi < 0 {
			errs = append(errs, field.Invalid(at.Child("hugepages2Mi"), s.Hugepages2Mi, "must not be negative"))
		}
		if s.Hugepages1Gi < 0 {
			errs = append(errs, field.Invalid(at.Child("hugepages1Gi"), s.Hugepages1Gi, "must not be negative"))
		}
	}
	return errs
}
