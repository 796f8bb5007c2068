package objects

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert/tree"
)

// notationPath is where an object holds the notation of its document.
var notationPath = field.NewPath("metadata", "annotations").Key(v1alpha1.NotationAnnotation)

// keepNotation notes in the object how its document differs from what is derived
// of the object.
func keepNotation(obj client.Object, derived, is any, whole func(string) bool) error {
	from, err := treeOf(derived)
	if err != nil {
		return err
	}
	to, err := treeOf(is)
	if err != nil {
		return err
	}
	d, err := compare(from, to, whole)
	if err != nil {
		return err
	}
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

// withNotation gives what is derived of an object the notation of its document,
// where that still holds, and leaves no other in the object.
func withNotation[T any](obj client.Object, derived *T) (*T, error) {
	text, given := obj.GetAnnotations()[v1alpha1.NotationAnnotation]
	if !given {
		return derived, nil
	}
	var d delta
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, field.Invalid(notationPath, field.OmitValueType{}, "cannot be read: remove it, or restore it: "+err.Error())
	}
	document, err := treeOf(derived)
	if err != nil {
		return nil, err
	}
	held, err := d.apply(document)
	if err != nil {
		return nil, field.Invalid(notationPath, field.OmitValueType{}, "cannot be read: remove it, or restore it: "+err.Error())
	}
	if len(held) == 0 {
		removeAnnotation(obj, v1alpha1.NotationAnnotation)
		return derived, nil
	}
	if len(held) < len(d) {
		raw, err := marshal(held)
		if err != nil {
			return nil, err
		}
		setAnnotation(obj, v1alpha1.NotationAnnotation, string(raw))
	}
	raw, err := marshal(document)
	if err != nil {
		return nil, err
	}
	out, errs := tree.Decode[T](raw, notationPath)
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return out, nil
}

// treeOf is a libvirtxml struct in the style of package tree.
func treeOf(document any) (map[string]any, error) {
	raw, err := tree.Encode(document)
	if err != nil {
		return nil, err
	}
	out, err := unmarshalObject(raw)
	if err != nil {
		return nil, fmt.Errorf("reading %T: %w", document, err)
	}
	return out, nil
}
