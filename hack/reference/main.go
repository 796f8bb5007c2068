// Command reference writes docs/reference into a tree: the flags of every program,
// as their commands have them, the keys of vm-executor's file, and the fields of every
// kind, as its CustomResourceDefinition, which lies in the same tree, has them. It is
// run in the project's root.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reference DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func write(into string) error {
	pages := map[string]string{
		"flags-vm-scheduler.md": schedulerFlags(),
		"flags-virtctl.md":      virtctlFlags(),
		"flags-domus-dev.md":    domusDevFlags(),
	}
	var err error
	if pages["flags-vm-executor.md"], err = executorFlags(); err != nil {
		return err
	}
	if pages["api.md"], err = kinds(filepath.Join(into, "manifests", "base", "crd"), filepath.Join(into, "manifests", "preview", "crd")); err != nil {
		return err
	}
	dir := filepath.Join(into, "docs", "reference")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generated stands at the top of each page.
const generated = "<!-- Written by make generate from the code; change that. -->\n\n"
