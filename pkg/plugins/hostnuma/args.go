package hostnuma

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/plugins/pluginconfig"
)

// Args are the plugin's arguments in a scheduler configuration's pluginConfig.
type Args struct {
	// ScoringStrategy says which of the hosts whose cells hold the VM is
	// preferred.
	ScoringStrategy ScoringStrategy `json:"scoringStrategy"`
}

// ScoringStrategyType names a way to prefer hosts by their cells.
type ScoringStrategyType string

const (
	// CellCount prefers as few cells as possible for policy restricted and as
	// many for spread; for single-cell all hosts are equal. The default.
	CellCount ScoringStrategyType = "CellCount"
	// LeastAllocated prefers the emptiest cells.
	LeastAllocated ScoringStrategyType = "LeastAllocated"
	// MostAllocated prefers the fullest cells that still hold the VM.
	MostAllocated ScoringStrategyType = "MostAllocated"
)

// ScoringStrategy is one of the types.
type ScoringStrategy struct {
	// Type of the strategy; default CellCount.
	Type ScoringStrategyType `json:"type,omitempty"`
}

// argsPath is where errors say the arguments are.
var argsPath = pluginconfig.Path(Name)

// decode reads the arguments, sets defaults and validates.
func decode(obj runtime.Object) (Args, error) {
	var args Args
	if err := pluginconfig.Decode(Name, obj, &args); err != nil {
		return Args{}, err
	}
	if args.ScoringStrategy.Type == "" {
		args.ScoringStrategy.Type = CellCount
	}
	types := []ScoringStrategyType{CellCount, LeastAllocated, MostAllocated}
	if !slices.Contains(types, args.ScoringStrategy.Type) {
		return Args{}, field.NotSupported(argsPath.Child("scoringStrategy", "type"), args.ScoringStrategy.Type, types)
	}
	return args, nil
}
