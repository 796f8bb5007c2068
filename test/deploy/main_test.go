// Package deploy runs what manifests and images say: the objects that kustomize and
// Helm make are applied to a real API server, and their pods are played from the
// images as they are: root file system, user, capabilities, arguments,
// environment, mounts, a token of their service account that is bound to the pod, and
// a network of their own. What is not played is the container runtime's seccomp
// profile and cgroups.
package deploy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	tools     = "../../bin/tools"
	images    = "../../bin/images"
	manifests = "../../manifests"
	chart     = manifests + "/helm/domus"
)

// system is the namespace that Domus is installed in.
const system = "domus-system"

func TestMain(m *testing.M) {
	if os.Getenv(containerVariable) != "" {
		fmt.Fprintln(os.Stderr, "starting the container:", becomeContainer())
		os.Exit(125)
	}
	ctrl.SetLogger(klog.Background())
	if err := prerequisites(); err != nil {
		fmt.Fprintln(os.Stderr, "deploy tests:", err)
		os.Exit(1)
	}
	code, err := suite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "deploy tests:", err)
		code = 1
	}
	os.Exit(code)
}

// scratch is a folder for what tests share.
var scratch string

func suite(m *testing.M) (code int, err error) {
	if scratch, err = os.MkdirTemp("", "domus-deploy-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	// Users of containers have to get through.
	if err := os.Chmod(scratch, 0o711); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func prerequisites() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("pods are played in namespaces, which needs root: run make test-deploy")
	}
	for path, remedy := range map[string]string{
		tools + "/kube-apiserver": "make tools",
		tools + "/helm":           "make bin/tools/helm",
		images + "/vm-scheduler":  "make images",
		images + "/vm-executor":   "make images",
		filepath.Join(chart, "files", "base", "kustomization.yaml"): "check out the repository with symbolic links",
	} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: %s", err, remedy)
		}
	}
	return nil
}
