// Package virtctl runs virtctl's verbs against a real kube-apiserver and etcd
// with Domus' kinds. The tests speak for vm-scheduler and for the executors: none
// of them runs, so that each answer comes when and as a test has it.
package virtctl

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"domus.dev/domus/pkg/virtctl/cluster"
)

// suite is what all tests share: one control plane.
var suite struct {
	dir    string
	env    *envtest.Environment
	config *rest.Config
	client client.WithWatch
	// kubeconfig is an administrator's.
	kubeconfig string
}

// eventually is how long anything that must happen may take. The machine may be
// small and busy.
const eventually = 60 * time.Second

func TestMain(m *testing.M) {
	ctrl.SetLogger(klog.Background())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if suite.dir, err = os.MkdirTemp("", "domus-virtctl-"); err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(suite.dir) }()
	assets, err := filepath.Abs("../../../bin/tools")
	if err != nil {
		return 1, err
	}
	if _, err := os.Stat(filepath.Join(assets, "kube-apiserver")); err != nil {
		return 1, fmt.Errorf("no control plane to test against: run `make tools` first: %w", err)
	}
	suite.env = &envtest.Environment{
		BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
		CRDInstallOptions: envtest.CRDInstallOptions{Paths: []string{"../../../manifests/base/crd"}, ErrorIfPathMissing: true, MaxTime: eventually},
	}
	suite.env.ControlPlane.GetAPIServer().Configure().Append("disable-admission-plugins", "ServiceAccount")
	if suite.config, err = suite.env.Start(); err != nil {
		return 1, fmt.Errorf("starting the control plane: %w", err)
	}
	defer func() {
		if stopped := suite.env.Stop(); err == nil && stopped != nil {
			code, err = 1, stopped
		}
	}()
	suite.config.QPS, suite.config.Burst = 500, 1000
	scheme, err := cluster.Scheme()
	if err != nil {
		return 1, err
	}
	if suite.client, err = client.NewWithWatch(suite.config, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	if suite.kubeconfig, err = kubeconfigOf("virtctl-admin", "system:masters"); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// kubeconfigOf writes a user's kubeconfig and returns its path.
func kubeconfigOf(name string, groups ...string) (string, error) {
	user, err := suite.env.AddUser(envtest.User{Name: name, Groups: groups}, suite.config)
	if err != nil {
		return "", err
	}
	data, err := user.KubeConfig()
	if err != nil {
		return "", err
	}
	path := filepath.Join(suite.dir, name+".kubeconfig")
	return path, os.WriteFile(path, data, 0o600)
}

// built is virtctl as a program, built once for the tests that need a process,
// under the name that kubectl calls its plugin by.
func built(ctx context.Context) (string, error) {
	path := filepath.Join(suite.dir, "kubectl-vm")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-tags", "libvirt_dlopen", "-o", path, "domus.dev/domus/cmd/virtctl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building virtctl: %w\n%s", err, out)
	}
	return path, nil
}
