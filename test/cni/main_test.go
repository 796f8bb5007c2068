// Package cni tries cards of CNI plugins as root: each test makes a network
// namespace and calls it the host, and plugins, bridges and guests are in it or in
// others that belong to it. What the kernel of the machine does not have is found by
// trying, and said.
package cni

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"domus.dev/domus/pkg/executor/cni"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
		return
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces: run them as root (make test-cni)")
		os.Exit(1)
	}
	if _, err := pluginDir(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// pluginDir is where the machine has the plugins that the tests use.
func pluginDir() (string, error) {
	for _, dir := range cni.DefaultPluginDirs {
		if _, err := os.Stat(filepath.Join(dir, "bridge")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("there are no CNI plugins in %v: run hack/install-deps.sh", cni.DefaultPluginDirs)
}
