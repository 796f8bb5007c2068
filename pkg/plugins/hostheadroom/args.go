package hostheadroom

import (
	"slices"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/plugins/pluginconfig"
)

// Mode says what becomes of hosts on which a VM would break the promise.
type Mode string

const (
	// ModeScore prefers other hosts. The default.
	ModeScore Mode = "Score"
	// ModeFilter turns them away.
	ModeFilter Mode = "Filter"
)

// Args are the plugin's arguments in a scheduler configuration's pluginConfig.
type Args struct {
	// Mode is Score, the default, or Filter.
	Mode Mode `json:"mode,omitempty"`
	// Failures is how many failures at a time there is room for: 1, the default
	// and the only number that is supported.
	Failures int32 `json:"failures,omitempty"`
	// TopologyKey is the label of Nodes whose values are what fails as one, such
	// as topology.kubernetes.io/zone; a host without the label fails alone.
	// Without a key every host does.
	TopologyKey string `json:"topologyKey,omitempty"`
}

// argsPath is where errors say the arguments are.
var argsPath = pluginconfig.Path(Name)

// decode reads the arguments, sets defaults and validates.
func decode(obj runtime.Object) (Args, error) {
	var args Args
	if err := pluginconfig.Decode(Name, obj, &args); err != nil {
		return Args{}, err
	}
	if args.Mode == "" {
		args.Mode = ModeScore
	}
	if args.Failures == 0 {
		args.Failures = 1
	}
	return args, validate(args).ToAggregate()
}

func validate(args Args) field.ErrorList {
	var errs field.ErrorList
	if modes := []Mode{ModeFilter, ModeScore}; !slices.Contains(modes, args.Mode) {
		errs = append(errs, field.NotSupported(argsPath.Child("mode"), args.Mode, modes))
	}
	if args.Failures != 1 {
		errs = append(errs, field.Invalid(argsPath.Child("failures"), args.Failures, "must be 1: room for more failures at a time is not supported; to survive that of several hosts at once give their topologyKey"))
	}
	if args.TopologyKey != "" {
		errs = append(errs, metav1validation.ValidateLabelName(args.TopologyKey, argsPath.Child("topologyKey"))...)
	}
	return errs
}
