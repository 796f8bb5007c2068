package audit

import (
	"encoding/json"
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
	var object struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return waits(object.Status.Conditions)
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
		var conditions []metav1.Condition
		if (o.Op == "add" || o.Op == "replace") && o.Path == "/status/conditions" && json.Unmarshal(o.Value, &conditions) == nil && waits(conditions) {
			return true
		}
	}
	return false
}

func waits(conditions []metav1.Condition) bool {
	return meta.IsStatusConditionFalse(conditions, v1alpha1.ConditionScheduled)
}

// says says whether a write puts the word at one of the JSON pointers: a merge
// patch, an applied or whole object, or a JSON patch.
func says(raw []byte, word string, pointers ...string) bool {
	var object struct {
		Status json.RawMessage `json:"status"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return saysAt("/status", object.Status, word, pointers)
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
		if (o.Op == "add" || o.Op == "replace") && saysAt(o.Path, o.Value, word, pointers) {
			return true
		}
	}
	return false
}

// saysAt says whether value, put at a JSON pointer, has the word at one of the
// pointers.
func saysAt(path string, value json.RawMessage, word string, pointers []string) bool {
	for _, pointer := range pointers {
		rest, below := strings.CutPrefix(pointer, path)
		if !below || rest != "" && !strings.HasPrefix(rest, "/") {
			continue
		}
		if textAt(value, strings.Split(rest, "/")[1:]) == word {
			return true
		}
	}
	return false
}

// textAt follows keys into a document and returns the text there.
func textAt(value json.RawMessage, keys []string) string {
	for _, key := range keys {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			return ""
		}
		value = object[key]
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}
