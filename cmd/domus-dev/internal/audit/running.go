package audit

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// saysRunning says whether a write to the status subresource makes the VM
// Running: its status.host.state or status.phase is that.
func saysRunning(raw []byte) bool {
	return says(raw, string(v1alpha1.PhaseRunning), "/status/phase", "/status/host/state")
}

// saysStarting says whether such a write tells that the guest is about to be
// started.
func saysStarting(raw []byte) bool {
	return says(raw, v1alpha1.ReasonStarting, "/status/host/reason")
}

// saysWaiting says whether such a write tells that the VM has no host yet, or its
// host not its disks, and why.
func saysWaiting(raw []byte) bool {
	if says(raw, v1alpha1.ReasonWaitingForDisks, "/status/host/reason") {
		return true
	}
	return puts(raw, "/status/conditions", func(value json.RawMessage) bool {
		var conditions []metav1.Condition
		return json.Unmarshal(value, &conditions) == nil && meta.IsStatusConditionFalse(conditions, v1alpha1.ConditionScheduled)
	})
}

// says says whether a write puts the word at one of the JSON pointers.
func says(raw []byte, word string, pointers ...string) bool {
	return slices.ContainsFunc(pointers, func(pointer string) bool {
		return puts(raw, pointer, func(value json.RawMessage) bool {
			var text string
			return json.Unmarshal(value, &text) == nil && text == word
		})
	})
}

// puts says whether a write puts what is meant at a JSON pointer: a merge patch, an
// applied or whole object, or a JSON patch.
func puts(raw []byte, pointer string, meant func(json.RawMessage) bool) bool {
	var object struct {
		Status json.RawMessage `json:"status"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return putsAt("/status", object.Status, pointer, meant)
	}
	var operations []struct {
		Op    string          `json:"op"`
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	}
	if json.Unmarshal(raw, &operations) != nil {
		return false
	}
	for _, o := range operations {
		if (o.Op == "add" || o.Op == "replace") && putsAt(o.Path, o.Value, pointer, meant) {
			return true
		}
	}
	return false
}

// putsAt says whether value, put at path, has what is meant at a pointer.
func putsAt(path string, value json.RawMessage, pointer string, meant func(json.RawMessage) bool) bool {
	rest, below := strings.CutPrefix(pointer, path)
	if !below || rest != "" && !strings.HasPrefix(rest, "/") {
		return false
	}
	for _, key := range strings.Split(rest, "/")[1:] {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			return false
		}
		value = object[key]
	}
	return meant(value)
}
