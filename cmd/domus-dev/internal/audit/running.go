package audit

import (
	"encoding/json"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// saysRunning says whether a write to the status subresource makes the VM
// Running: a merge patch, an applied or whole object, or a JSON patch, whose
// status.host.state or status.phase is Running.
func saysRunning(raw []byte) bool {
	var object struct {
		Status json.RawMessage `json:"status"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return runningAt("/status", object.Status)
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
		if (o.Op == "add" || o.Op == "replace") && runningAt(o.Path, o.Value) {
			return true
		}
	}
	return false
}

// runningAt says whether value, put at a JSON pointer, contains a field that
// says Running.
func runningAt(path string, value json.RawMessage) bool {
	for _, says := range []string{"/status/phase", "/status/host/state"} {
		rest, below := strings.CutPrefix(says, path)
		if !below || rest != "" && !strings.HasPrefix(rest, "/") {
			continue
		}
		if textAt(value, strings.Split(rest, "/")[1:]) == string(v1alpha1.PhaseRunning) {
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
