// Command prometheusrules writes Prometheus' rule files as objects of Prometheus
// Operator into a tree: prometheusrules DIR. It is run in the project's root.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// files are those of manifests/monitoring/rules that Prometheus reads, by the name
// of the object.
var files = []struct{ object, file string }{
	{"domus-rules", "domus.rules.yaml"},
	{"domus-alerts", "domus.alerts.yaml"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: prometheusrules DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "prometheusrules:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	var out bytes.Buffer
	out.WriteString("# Made of rules/ by make generate.\n")
	for i, f := range files {
		data, err := os.ReadFile(filepath.Join("manifests", "monitoring", "rules", f.file))
		if err != nil {
			return err
		}
		var spec map[string]any
		if err := yaml.UnmarshalStrict(data, &spec); err != nil {
			return fmt.Errorf("reading %s: %w", f.file, err)
		}
		object, err := yaml.Marshal(map[string]any{
			"apiVersion": "monitoring.coreos.com/v1",
			"kind":       "PrometheusRule",
			"metadata": map[string]any{
				"name": f.object, "namespace": "domus-system",
				"labels": map[string]string{"app.kubernetes.io/part-of": "domus"},
			},
			"spec": spec,
		})
		if err != nil {
			return fmt.Errorf("writing %s: %w", f.object, err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(object)
	}
	into := filepath.Join(dir, "manifests", "monitoring", "operator")
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(into, "prometheusrules.yaml"), out.Bytes(), 0o644)
}
