package hostconfig

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChartKnowsTheConfiguration holds what the Helm chart takes as executor.config
// against what is read: a field that only one of them knows would be refused by the
// chart, or by every executor of the cluster.
func TestChartKnowsTheConfiguration(t *testing.T) {
	data, err := os.ReadFile("../../../manifests/helm/domus/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type schema struct {
		Properties map[string]json.RawMessage
		Items      json.RawMessage
	}
	in := func(data json.RawMessage, path ...string) schema {
		t.Helper()
		for _, name := range path {
			s := schema{}
			if err := json.Unmarshal(data, &s); err != nil {
				t.Fatal(err)
			}
			if data = s.Properties[name]; data == nil {
				t.Fatalf("the schema has no %s of %s", name, strings.Join(path, "."))
			}
		}
		s := schema{}
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	hosts := in(data, "executor", "config", "hosts")
	for _, test := range []struct {
		of     schema
		fields reflect.Type
	}{
		{in(data, "executor", "config"), reflect.TypeFor[Configuration]()},
		{in(hosts.Items), reflect.TypeFor[HostConfiguration]()},
	} {
		var want, got []string
		for i := range test.fields.NumField() {
			name, _, _ := strings.Cut(test.fields.Field(i).Tag.Get("json"), ",")
			want = append(want, name)
		}
		for name := range test.of.Properties {
			got = append(got, name)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: what is read -, values.schema.json +:\n%s", test.fields.Name(), diff)
		}
	}
}
