package objects

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// What <metadata> holds is text to libvirt, and an annotation here.

// liftMetadata moves it from the rest of a document to the object.
func liftMetadata(rest map[string]any, obj client.Object) {
	if text := metadataOf(rest); text != "" {
		setAnnotation(obj, v1alpha1.MetadataAnnotation, text)
	}
	delete(rest, "metadata")
}

// metadataOf is what stands inside <metadata>.
func metadataOf(document map[string]any) string {
	metadata, _ := document["metadata"].(map[string]any)
	text, _ := metadata["xml"].(string)
	return text
}

// lowerMetadata puts it into what is derived of the object.
func lowerMetadata(obj client.Object, derived map[string]any, at *field.Path) field.ErrorList {
	text, given := obj.GetAnnotations()[v1alpha1.MetadataAnnotation]
	if !given {
		return nil
	}
	if already := metadataOf(derived); already != "" && already != text {
		return field.ErrorList{givenTwice(at.Child("metadata"), field.OmitValueType{}, "the annotation "+v1alpha1.MetadataAnnotation)}
	}
	if err := wellFormed(text); err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations").Key(v1alpha1.MetadataAnnotation),
			field.OmitValueType{}, "is not the inside of an XML element: "+err.Error())}
	}
	derived["metadata"] = map[string]any{"xml": text}
	return nil
}

// wellFormed says what is wrong with the inside of an XML element.
func wellFormed(inside string) error {
	d := xml.NewDecoder(strings.NewReader(inside))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
