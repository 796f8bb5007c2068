// Package pluginconfig reads the arguments that plugins are given in a scheduler
// configuration's pluginConfig.
package pluginconfig

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// Path is where errors say the arguments of the plugin are.
func Path(plugin string) *field.Path { return field.NewPath("pluginConfig").Key(plugin).Child("args") }

// Decode reads the plugin's arguments into args, which keeps what it holds where
// they say nothing. A field that args does not have is an error.
func Decode(plugin string, obj runtime.Object, args any) error {
	switch raw := obj.(type) {
	case nil:
		return nil
	case *runtime.Unknown:
		if err := yaml.UnmarshalStrict(raw.Raw, args); err != nil {
			return fmt.Errorf("%s: %w", Path(plugin), err)
		}
		return nil
	}
	return fmt.Errorf("%s: unexpected type %T", Path(plugin), obj)
}
