package hostresources

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/plugins/pluginconfig"
)

// Args are the plugin's arguments in a scheduler configuration's pluginConfig.
type Args struct {
	// ScoringStrategy says which of the hosts that fit is preferred.
	ScoringStrategy ScoringStrategy `json:"scoringStrategy"`
}

// ScoringStrategyType names a way to prefer hosts, as in kube-scheduler's
// NodeResourcesFit.
type ScoringStrategyType string

const (
	// LeastAllocated prefers hosts that stay emptier: VMs spread. The default.
	LeastAllocated ScoringStrategyType = "LeastAllocated"
	// MostAllocated prefers hosts that become fuller: VMs pack, hosts stay free.
	MostAllocated ScoringStrategyType = "MostAllocated"
	// RequestedToCapacityRatio scores by a shape over utilization.
	RequestedToCapacityRatio ScoringStrategyType = "RequestedToCapacityRatio"
)

// ScoringStrategy is a type, the resources that count, and for
// RequestedToCapacityRatio the shape.
type ScoringStrategy struct {
	// Type of the strategy; default LeastAllocated.
	Type ScoringStrategyType `json:"type,omitempty"`
	// Resources that count and their weights; default all, each with weight 1.
	// A resource that a VM does not ask for does not count for it.
	Resources []ResourceWeight `json:"resources,omitempty"`
	// RequestedToCapacityRatio is required for that type and refused otherwise.
	RequestedToCapacityRatio *Ratio `json:"requestedToCapacityRatio,omitempty"`
}

// ResourceWeight is a resource by its short name and its weight, 1 to 100.
type ResourceWeight struct {
	// Name is cpu, memory, hugepages-2Mi or hugepages-1Gi.
	Name string `json:"name"`
	// Weight from 1 to 100; default 1.
	Weight int64 `json:"weight,omitempty"`
}

// Ratio is a function from utilization to score, linear between its points.
type Ratio struct {
	Shape []Point `json:"shape"`
}

// Point is a point of a Ratio: utilization from 0 to 100, score from 0 to 10.
type Point struct {
	Utilization int64 `json:"utilization"`
	Score       int64 `json:"score"`
}

// maxPointScore is the highest score of a Point, as in kube-scheduler's own
// configuration.
const maxPointScore = 10

// argsPath is where errors say the arguments are.
var argsPath = pluginconfig.Path(Name)

// decode reads the arguments, sets defaults and validates.
func decode(obj runtime.Object) (Args, error) {
	var args Args
	if err := pluginconfig.Decode(Name, obj, &args); err != nil {
		return Args{}, err
	}
	setDefaults(&args)
	return args, validate(args).ToAggregate()
}

func setDefaults(args *Args) {
	s := &args.ScoringStrategy
	if s.Type == "" {
		s.Type = LeastAllocated
	}
	if len(s.Resources) == 0 {
		for _, r := range scored {
			s.Resources = append(s.Resources, ResourceWeight{Name: r.short})
		}
	}
	for i := range s.Resources {
		if s.Resources[i].Weight == 0 {
			s.Resources[i].Weight = 1
		}
	}
}

func validate(args Args) field.ErrorList {
	s, at := args.ScoringStrategy, argsPath.Child("scoringStrategy")
	var errs field.ErrorList
	types := []ScoringStrategyType{LeastAllocated, MostAllocated, RequestedToCapacityRatio}
	if !slices.Contains(types, s.Type) {
		errs = append(errs, field.NotSupported(at.Child("type"), s.Type, types))
	}
	seen := map[string]bool{}
	for i, r := range s.Resources {
		at := at.Child("resources").Index(i)
		if nameOf(r.Name) == "" {
			var names []string
			for _, r := range scored {
				names = append(names, r.short)
			}
			errs = append(errs, field.NotSupported(at.Child("name"), r.Name, names))
		}
		if seen[r.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), r.Name))
		}
		seen[r.Name] = true
		if r.Weight < 1 || r.Weight > 100 {
			errs = append(errs, field.Invalid(at.Child("weight"), r.Weight, "must be from 1 to 100"))
		}
	}
	return append(errs, validateRatio(s, at.Child("requestedToCapacityRatio"))...)
}

func validateRatio(s ScoringStrategy, at *field.Path) field.ErrorList {
	if s.Type != RequestedToCapacityRatio {
		if s.RequestedToCapacityRatio != nil {
			return field.ErrorList{field.Forbidden(at, fmt.Sprintf("only with type %s: remove it, or change the type", RequestedToCapacityRatio))}
		}
		return nil
	}
	if s.RequestedToCapacityRatio == nil || len(s.RequestedToCapacityRatio.Shape) == 0 {
		return field.ErrorList{field.Required(at.Child("shape"), "give at least one point of utilization and score")}
	}
	var errs field.ErrorList
	last := int64(-1)
	for i, p := range s.RequestedToCapacityRatio.Shape {
		at := at.Child("shape").Index(i)
		switch {
		case p.Utilization < 0 || p.Utilization > 100:
			errs = append(errs, field.Invalid(at.Child("utilization"), p.Utilization, "must be from 0 to 100"))
		case p.Utilization <= last:
			errs = append(errs, field.Invalid(at.Child("utilization"), p.Utilization, "must be greater than the point before: sort the points"))
		}
		last = p.Utilization
		if p.Score < 0 || p.Score > maxPointScore {
			errs = append(errs, field.Invalid(at.Child("score"), p.Score, "must be from 0 to 10"))
		}
	}
	return errs
}

// nameOf returns the host resource of a short name, or "".
func nameOf(short string) corev1.ResourceName {
	for _, r := range scored {
		if r.short == short {
			return r.name
		}
	}
	return ""
}
