package v1alpha1

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// kubectl prints a column of dates as how long ago they were, and a time to come as
// <invalid>.
func TestColumnsOfDatesArePast(t *testing.T) {
	past := []string{".metadata.creationTimestamp", ".metadata.deletionTimestamp", ".status.createdAt", ".status.lastScheduleTime"}
	files, err := filepath.Glob("../../../manifests/base/crd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no CustomResourceDefinitions", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensions.CustomResourceDefinition{}
		if err := yaml.Unmarshal(data, crd); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			for _, column := range version.AdditionalPrinterColumns {
				if column.Type == "date" && !slices.Contains(past, column.JSONPath) {
					t.Errorf("%s: column %s is a date: is %s never in the future?", crd.Name, column.Name, column.JSONPath)
				}
			}
		}
	}
}
