package hostfragmentation

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/plugins/pluginconfig"
)

// maxShapes bounds the shapes: each is tried on every host that is scored.
const maxShapes = 8

// Args are the plugin's arguments in a scheduler configuration's pluginConfig.
type Args struct {
	// Shapes are the large VMs for which places are kept, at most 8. Without
	// any, they are the whole and the half of the largest NUMA cell of each
	// host, or of the host where it has no cells.
	Shapes []Shape `json:"shapes,omitempty"`
}

// Shape is a VM that shall stay placeable.
type Shape struct {
	// CPU is the number of vCPUs.
	CPU int32 `json:"cpu"`
	// Memory is the guest's own; what QEMU needs beside it is added.
	Memory resource.Quantity `json:"memory"`
	// Hugepages is the size of the pages that hold the memory, 2Mi or 1Gi;
	// ordinary memory without.
	Hugepages v1alpha1.PageSize `json:"hugepages,omitempty"`
	// NUMA is none, the default, or single-cell.
	NUMA v1alpha1.NUMAPolicy `json:"numa,omitempty"`
	// CPUPolicy is shared, the default, or dedicated.
	CPUPolicy v1alpha1.CPUPolicy `json:"cpuPolicy,omitempty"`
	// Weight from 1 to 100; default 1.
	Weight int64 `json:"weight,omitempty"`
}

// argsPath is where errors say the arguments are.
var argsPath = pluginconfig.Path(Name)

// decode reads the arguments, sets defaults and validates.
func decode(obj runtime.Object) (Args, error) {
	var args Args
	if err := pluginconfig.Decode(Name, obj, &args); err != nil {
		return Args{}, err
	}
	for i := range args.Shapes {
		setDefaults(&args.Shapes[i])
	}
	return args, validate(args).ToAggregate()
}

func setDefaults(s *Shape) {
	if s.NUMA == "" {
		s.NUMA = v1alpha1.NUMANone
	}
	if s.CPUPolicy == "" {
		s.CPUPolicy = v1alpha1.CPUShared
	}
	if s.Weight == 0 {
		s.Weight = 1
	}
}

func validate(args Args) field.ErrorList {
	var errs field.ErrorList
	at := argsPath.Child("shapes")
	if len(args.Shapes) > maxShapes {
		errs = append(errs, field.TooMany(at, len(args.Shapes), maxShapes))
	}
	for i := range args.Shapes {
		errs = append(errs, validateShape(&args.Shapes[i], at.Index(i))...)
	}
	return errs
}

func validateShape(s *Shape, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.CPU < 1 {
		errs = append(errs, field.Invalid(at.Child("cpu"), s.CPU, "must be at least 1"))
	}
	page := int64(1)
	switch s.Hugepages {
	case "":
	case v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi:
		q := resource.MustParse(string(s.Hugepages))
		page = q.Value()
	default:
		errs = append(errs, field.NotSupported(at.Child("hugepages"), s.Hugepages, []v1alpha1.PageSize{v1alpha1.PageSize2Mi, v1alpha1.PageSize1Gi}))
	}
	if s.Memory.Sign() <= 0 || s.Memory.Value()%page != 0 {
		errs = append(errs, field.Invalid(at.Child("memory"), s.Memory.String(), "must be greater than 0 and whole pages"))
	}
	if policies := []v1alpha1.NUMAPolicy{v1alpha1.NUMANone, v1alpha1.NUMASingleCell}; !slices.Contains(policies, s.NUMA) {
		errs = append(errs, field.NotSupported(at.Child("numa"), s.NUMA, policies))
	}
	if policies := []v1alpha1.CPUPolicy{v1alpha1.CPUShared, v1alpha1.CPUDedicated}; !slices.Contains(policies, s.CPUPolicy) {
		errs = append(errs, field.NotSupported(at.Child("cpuPolicy"), s.CPUPolicy, policies))
	}
	if s.Weight < 1 || s.Weight > 100 {
		errs = append(errs, field.Invalid(at.Child("weight"), s.Weight, "must be from 1 to 100"))
	}
	return errs
}
