package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func TestProse(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"paragraphs stay":                    {"One.\n\nTwo <of> them.", "One.\n\nTwo &lt;of> them."},
		"what is indented is shown as it is": {"Such as:\n  virtctl get <NAME>\n\nand on.", "Such as:\n```\n  virtctl get <NAME>\n\n```\nand on."},
		"also at the end":                    {"Such as:\n  a", "Such as:\n```\n  a\n```"},
	} {
		if diff := cmp.Diff(c.want, prose(c.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFlagTable(t *testing.T) {
	ours, theirs := pflag.NewFlagSet("", 0), pflag.NewFlagSet("", 0)
	ours.StringP("output", "o", "table", "json|yaml or `FORMAT`,\n<of> *yours*.")
	theirs.StringP("output", "o", "wide", "")
	ours.Bool("secret", false, "")
	if err := ours.MarkHidden("secret"); err != nil {
		t.Fatal(err)
	}
	want := "| flag | type | default | |\n|---|---|---|---|\n" +
		"| `-o`, `--output` | FORMAT | `table` | json\\|yaml or `FORMAT`, &lt;of&gt; \\*yours\\*. kube-scheduler's own default is wide. |\n"
	if diff := cmp.Diff(want, flagTable(ours, theirs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFieldsTellTheirLimits(t *testing.T) {
	schema := &apiextensions.JSONSchemaProps{}
	if err := yaml.Unmarshal([]byte(`
type: object
required: [size, mode]
properties:
  size: {x-kubernetes-int-or-string: true, pattern: "^.*$", description: size is so large.}
  mode: {type: string, enum: [a, b], default: a}
  names: {type: array, maxItems: 3, items: {type: object, required: [name], properties: {name: {type: string, minLength: 1}}}}
  affinity: {type: object, properties: {nodeAffinity: {type: object}}}
`), schema); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fields(&out, "spec", schema, true)
	want := strings.Join([]string{
		"| `spec` | object | required |  |",
		"| `spec.affinity` | Affinity of Pods |  |  |",
		"| `spec.mode` | string | default `\"a\"`; `a` `b` |  |",
		"| `spec.names` | list of object | at most 3 items |  |",
		"| `spec.names[].name` | string | required; at least 1 characters |  |",
		"| `spec.size` | quantity | required | size is so large. |",
		"",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheExecutorsFileIsTold(t *testing.T) {
	table, err := configTable("../../pkg/executor/hostconfig", "Configuration")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"| `hosts` | list of object | hosts are looked after side by side and share nothing but the process. |\n",
		"| `hosts[].reserve.memory` | quantity |",
		"| `hosts[].cni.networks` | list of string |",
		"| `metricsBindAddress` | string |",
	} {
		if !strings.Contains(table, row) {
			t.Errorf("no row %s in\n%s", row, table)
		}
	}
	if _, err := configTable("../../pkg/executor/hostconfig", "Nothing"); err == nil {
		t.Error("a struct that is not there is told")
	}
}
