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

// Manifest is an object as JSON, as a person would write it: without its status
// and what else a cluster adds to it, and without kubectl's note of what was
// applied.
func Manifest(obj client.Object) ([]byte, error) {
	whole, err := manifest(obj)
	if err != nil {
		return nil, err
	}
	return marshal(whole)
}

func manifest(obj client.Object) (map[string]any, error) {
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
	if annotations, ok := kept["annotations"].(map[string]any); ok {
		delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		if len(annotations) == 0 {
			delete(kept, "annotations")
		}
	}
	whole["metadata"] = kept
	return whole, nil
}
