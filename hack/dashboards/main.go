// Command dashboards writes what is generated of monitoring into a tree: the Grafana
// dashboards, and docs/metrics.md with its tables. It is run in the project's root,
// where it reads the rest of that document.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"domus.dev/domus/pkg/metrics"
	"domus.dev/domus/pkg/metrics/dashboards"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	if err := dashboards.Write(filepath.Join(dir, "manifests", "monitoring", "dashboards")); err != nil {
		return err
	}
	name := filepath.Join("docs", "metrics.md")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	out, err := metrics.Document(string(text))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "docs"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(out), 0o644)
}
