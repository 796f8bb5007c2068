package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/install"
)

// plane is an etcd and a kube-apiserver of their own.
type plane struct {
	env        *envtest.Environment
	dir        string
	kubeconfig string
	client     client.WithWatch
	light      client.WithWatch
	clientset  kubernetes.Interface
	rest       *rest.Config
	etcd, api  *process
}

// startPlane starts both and installs what Domus ships, but for the webhook:
// workloads are created while no scheduler runs that would serve it.
// What is written beside them is in a folder that stop removes.
func startPlane(ctx context.Context, assets string) (*plane, error) {
	assets, err := filepath.Abs(assets)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(assets, "kube-apiserver")); err != nil {
		return nil, fmt.Errorf("no control plane to measure with: run `make tools` first: %w", err)
	}
	dir, err := os.MkdirTemp("", "domus-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the runs: %w", err)
	}
	p := &plane{dir: dir}
	p.env = &envtest.Environment{BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	p.env.ControlPlane.GetAPIServer().Configure().Append("disable-admission-plugins", "ServiceAccount").
		Set("profiling", "true")
	cfg, err := p.env.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the control plane: %w", err), p.stop())
	}
	if p.etcd, err = child("etcd"); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if p.api, err = child("kube-apiserver"); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	cfg = rest.CopyConfig(cfg)
	cfg.RateLimiter = flowcontrol.NewFakeAlwaysRateLimiter()
	p.rest = cfg
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if p.client, err = client.NewWithWatch(cfg, client.Options{Scheme: scheme}); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if p.light, err = client.NewWithWatch(cfg, client.Options{Scheme: lightScheme()}); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	// Pods are watched as schedulers do: in protobuf.
	protobuf := rest.CopyConfig(cfg)
	protobuf.ContentType = runtime.ContentTypeProtobuf
	if p.clientset, err = kubernetes.NewForConfig(protobuf); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.kubeconfig = filepath.Join(p.dir, "kubeconfig")
	if err := writeKubeconfig(p.kubeconfig, cfg); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if err := p.install(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func (p *plane) stop() error {
	err := p.env.Stop()
	if err != nil {
		err = fmt.Errorf("stopping the control plane: %w", err)
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

func (p *plane) install(ctx context.Context) error {
	objects, err := install.Objects()
	if err != nil {
		return err
	}
	if err := install.Apply(ctx, p.client, "bench", install.Without(objects, install.WebhookKinds...)); err != nil {
		return err
	}
	for _, obj := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: lowPriority}, Value: 1},
		&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: highPriority}, Value: 1000},
	} {
		if err := p.client.Create(ctx, obj); err != nil {
			return fmt.Errorf("creating %s: %w", obj.GetName(), err)
		}
	}
	return p.retry(ctx, func() error { return p.client.List(ctx, &v1alpha1.VirtualMachineList{}) })
}

// retry repeats what fails because the API server is not quite there: a
// namespace or a kind that it has not made yet.
func (p *plane) retry(ctx context.Context, try func() error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = try()
		return last == nil || apierrors.IsAlreadyExists(last), nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func writeKubeconfig(path string, cfg *rest.Config) error {
	const name = "bench"
	u, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return fmt.Errorf("reading the API server's address: %w", err)
	}
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{name: {Server: u.Scheme + "://" + u.Host, CertificateAuthorityData: cfg.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}},
		Contexts:  map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}}, CurrentContext: name,
	}, path)
	if err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}
