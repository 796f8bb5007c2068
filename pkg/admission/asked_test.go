package admission

import (
	"reflect"
	"strings"
	"testing"

	"domus.dev/domus/manifests"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// TestTheWebhookIsAskedOfEveryFieldThatCanBeWrong: the others can be written
// while vm-scheduler is away.
func TestTheWebhookIsAskedOfEveryFieldThatCanBeWrong(t *testing.T) {
	never := map[string]bool{"powerState": true, "runPolicy": true, "whenStopped": true, "firmwareState": true, "terminationGracePeriodSeconds": true}
	files, err := manifests.Base()
	if err != nil {
		t.Fatal(err)
	}
	var all string
	for _, f := range files {
		if strings.Contains(string(f), "name: virtualmachines.domus.dev\n    admissionReviewVersions") {
			all = string(f)
		}
	}
	if all == "" {
		t.Fatal("the webhook's configuration was not found")
	}
	spec := reflect.TypeFor[v1alpha1.VirtualMachineSpec]()
	for i := range spec.NumField() {
		name, _, _ := strings.Cut(spec.Field(i).Tag.Get("json"), ",")
		asked := strings.Contains(all, "|| object.spec.?"+name+" != oldObject.spec.?"+name+"\n")
		if asked == never[name] {
			t.Errorf("spec.%s: asked about a change of it: %t", name, asked)
		}
	}
}
