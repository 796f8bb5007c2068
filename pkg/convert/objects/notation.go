package objects

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// notationPath is where an object holds the notation of its document.
var notationPath = field.NewPath("metadata", "annotations").Key(v1alpha1.NotationAnnotation)

// setDelta keeps the notation of its document in an object.
func setDelta(obj client.Object, d delta) error {
	if len(d) == 0 {
		removeAnnotation(obj, v1alpha1.NotationAnnotation)
		return nil
	}
	raw, err := marshal(d)
	if err != nil {
		return err
	}
	setAnnotation(obj, v1alpha1.NotationAnnotation, string(raw))
	return nil
}

// applyDelta gives what is derived of an object the notation that it came with,
// where that holds, and leaves no other in the object.
func applyDelta(obj client.Object, derived map[string]any) error {
	text, given := obj.GetAnnotations()[v1alpha1.NotationAnnotation]
	if !given {
		return nil
	}
	var d delta
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return err
	}
	held, err := d.apply(derived)
	if err != nil {
		return err
	}
	return setDelta(obj, held)
}
