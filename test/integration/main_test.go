// Package integration runs the real vm-scheduler, as a process, against a real
// kube-apiserver and etcd, with RBAC, admission policies and webhook as
// shipped. Hosts are Nodes without anything behind them, and the tests speak for
// their executors, where they do not run one on libvirt's test driver.
package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// suite is what all tests share: one control plane.
var suite struct {
	dir       string
	config    *rest.Config
	client    client.WithWatch
	clientset kubernetes.Interface
	// podWriter is the only identity that may write Pods in these tests.
	podWriter client.Client
	plane     *controlPlane
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(klog.Background())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "domus-integration-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	suite.dir = dir

	if err := build(dir, "domus.dev/domus/cmd/vm-scheduler"); err != nil {
		return 1, err
	}
	plane, err := startControlPlane(dir)
	if err != nil {
		return 1, err
	}
	defer plane.stop()
	suite.plane, suite.config, suite.client, suite.clientset, suite.podWriter = plane, plane.config, plane.client, plane.clientset, plane.podWriter
	if err := plane.install(context.Background()); err != nil {
		return 1, err
	}

	code := m.Run()
	plane.stop()
	if err := plane.checkAudit(); err != nil {
		return 1, err
	}
	return code, nil
}

// build builds a command into dir: it runs as a process, so that it can be
// killed like one.
func build(dir, command string) error {
	out, err := exec.Command("go", "build", "-tags", "libvirt_dlopen", "-o", dir+string(filepath.Separator), command).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %w\n%s", command, err, out)
	}
	return nil
}

// eventually is how long anything that must happen may take. The machine may be
// small and busy.
const eventually = 3 * time.Minute

// shortly is how long the tests wait for something that must not happen.
const shortly = 3 * time.Second

// namespace makes a namespace for a test and returns its name.
func namespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	ns := &corev1.Namespace{}
	ns.GenerateName, ns.Labels = "test-", labels
	if err := suite.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}
