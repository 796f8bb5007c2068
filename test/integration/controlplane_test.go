package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/install"
)

type controlPlane struct {
	env         *envtest.Environment
	config      *rest.Config
	client      client.WithWatch
	clientset   kubernetes.Interface
	podWriter   client.Client
	scheme      *runtime.Scheme
	auditLog    string
	webhookPort int
	stopped     bool
	// lent are the namespaces whose Pods kube-scheduler binds.
	lent map[string]bool
}

func startControlPlane(dir string) (*controlPlane, error) {
	assets, err := filepath.Abs("../../bin/tools")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(assets, "kube-apiserver")); err != nil {
		return nil, fmt.Errorf("no control plane to test against: run `make tools` first: %w", err)
	}
	policy := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	p := &controlPlane{auditLog: filepath.Join(dir, "audit.log"), lent: map[string]bool{}}
	p.env = &envtest.Environment{BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	p.env.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", p.auditLog).
		// Groups of VMs. PodGroupProtection's other half is kube-controller-manager.
		Append("feature-gates", "GenericWorkload=true").
		Append("runtime-config", "scheduling.k8s.io/v1beta1=true").
		Append("disable-admission-plugins", "ServiceAccount", "PodGroupProtection")
	if p.config, err = p.env.Start(); err != nil {
		return nil, fmt.Errorf("starting the control plane: %w", err)
	}
	p.config.QPS, p.config.Burst = 500, 1000
	p.scheme = runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(p.scheme), v1alpha1.AddToScheme(p.scheme), apiextensionsv1.AddToScheme(p.scheme)); err != nil {
		return nil, err
	}
	if p.client, err = client.NewWithWatch(p.config, client.Options{Scheme: p.scheme}); err != nil {
		return nil, err
	}
	if p.clientset, err = kubernetes.NewForConfig(p.config); err != nil {
		return nil, err
	}
	user, err := p.env.AddUser(envtest.User{Name: podWriterUser, Groups: []string{"system:masters"}}, p.config)
	if err != nil {
		return nil, err
	}
	if p.podWriter, err = client.New(user.Config(), client.Options{Scheme: p.scheme}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.webhookPort = listener.Addr().(*net.TCPAddr).Port
	return p, listener.Close()
}

func (p *controlPlane) stop() {
	if !p.stopped {
		p.stopped = true
		if err := p.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the control plane:", err)
		}
	}
}

// as returns a client's configuration with another identity.
func (p *controlPlane) as(name string, groups ...string) (*rest.Config, error) {
	user, err := p.env.AddUser(envtest.User{Name: name, Groups: groups}, p.config)
	if err != nil {
		return nil, err
	}
	return user.Config(), nil
}

// install applies what is shipped. The webhook is called on loopback.
func (p *controlPlane) install(ctx context.Context) error {
	objects, err := install.Objects()
	if err != nil {
		return err
	}
	err = install.CallWebhooksAt(objects, func(path string) string { return "https://127.0.0.1:" + strconv.Itoa(p.webhookPort) + path })
	if err != nil {
		return err
	}
	return install.Apply(ctx, p.client, "integration", objects)
}
