package objects

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// setAnnotation sets an annotation of an object that may have none yet.
func setAnnotation(obj client.Object, key, value string) {
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	obj.SetAnnotations(annotations)
}

// removeAnnotation takes an annotation away, and the empty map after the last.
func removeAnnotation(obj client.Object, key string) {
	annotations := obj.GetAnnotations()
	delete(annotations, key)
	if len(annotations) == 0 {
		annotations = nil
	}
	obj.SetAnnotations(annotations)
}

// document is an object as JSON, without what a cluster adds to it.
func document(obj client.Object) (map[string]any, error) {
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", obj.GetName(), err)
	}
	whole, err := unmarshalObject(raw)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", obj.GetName(), err)
	}
	delete(whole, "status")
	metadata, _ := whole["metadata"].(map[string]any)
	kept := map[string]any{}
	for _, key := range []string{"name", "generateName", "namespace", "labels", "annotations"} {
		if value, ok := metadata[key]; ok {
			kept[key] = value
		}
	}
	whole["metadata"] = kept
	return whole, nil
}
