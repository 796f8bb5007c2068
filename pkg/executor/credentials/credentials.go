// Package credentials keeps the certificate by which the API server knows a host's
// executor. Its key is made on the host and never leaves it; it is renewed before it
// ends, by the same means as a kubelet's.
package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/certificate"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/hostidentity"
)

const (
	// prefix begins the names of the files: PREFIX-current.pem and one for each
	// certificate there has been.
	prefix = "vm-executor"
	// lifetime is what is asked for; a cluster may grant less. Renewal begins when
	// between 70 and 90 % of what was granted has passed.
	lifetime = 30 * 24 * time.Hour
	// glance lies between two looks for the first certificate.
	glance = 500 * time.Millisecond
)

// Options say whose certificate is kept, and where.
type Options struct {
	// Node is the host's.
	Node string
	// Dir has the certificates and keys; it is made, for its owner alone.
	Dir string
	// Connect reads the kubeconfig, with which the first certificate is asked for, and
	// another one when all have ended. It is read anew each time, for it may have been
	// replaced.
	Connect func() (*rest.Config, error)
	// Lifetime is what is asked for instead of 30 days, in tests.
	Lifetime time.Duration
}

// Keep returns a connection whose certificate is the host's own and is renewed until
// ctx ends. Where there is none yet it waits until one is granted, or ctx ends.
func Keep(ctx context.Context, o Options) (*rest.Config, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of certificates: %w", err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of certificates: %w", err)
	}
	store, err := certificate.NewFileStore(prefix, dir, dir, "", "")
	if err != nil {
		return nil, fmt.Errorf("opening the certificates in %s: %w", dir, err)
	}
	if err := o.ours(store); err != nil {
		return nil, err
	}
	base, err := o.connect()
	if err != nil {
		return nil, err
	}
	manager, err := o.manager(ctx, store)
	if err != nil {
		return nil, err
	}
	if manager.Current() == nil {
		klog.FromContext(ctx).Info("Asking for a certificate of this host's own", "user", hostidentity.User(o.Node))
	}
	manager.Start()
	err = wait.PollUntilContextCancel(ctx, glance, true, func(context.Context) (bool, error) { return manager.Current() != nil, nil })
	if err != nil {
		return nil, fmt.Errorf("waiting for a certificate of this host's own: %w", err)
	}
	config := without(base)
	// client-go reads the file again, and gives up old connections when it changes.
	config.CertFile, config.KeyFile = store.CurrentPath(), store.CurrentPath()
	return config, nil
}

// ours refuses a folder with the certificate of another host, as a copy of its disk
// would have.
func (o *Options) ours(store certificate.Store) error {
	current, err := store.Current()
	var none *certificate.NoCertKeyError
	switch {
	case errors.As(err, &none):
		return nil
	case err != nil:
		// Such as a file that a full disk cut short: another is asked for.
		klog.Background().Info("The certificate that is there cannot be read; another is asked for", "err", err.Error())
		return nil
	case current.Leaf.Subject.CommonName != hostidentity.User(o.Node):
		return fmt.Errorf("certificateDir %s has a certificate of %s, and this host's is %s: empty the folder, or correct nodeName",
			o.Dir, current.Leaf.Subject.CommonName, hostidentity.User(o.Node))
	}
	return nil
}

// connect reads the kubeconfig and refuses another host's.
func (o *Options) connect() (*rest.Config, error) {
	config, err := o.Connect()
	if err != nil {
		return nil, err
	}
	pem := config.CertData
	if len(pem) == 0 && config.CertFile != "" {
		if pem, err = os.ReadFile(config.CertFile); err != nil {
			return nil, fmt.Errorf("reading the kubeconfig's certificate: %w", err)
		}
	}
	if len(pem) == 0 {
		return config, nil // a token, of which the API server knows whose it is
	}
	certs, err := cert.ParseCertsPEM(pem)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig's certificate: %w", err)
	}
	if name := certs[0].Subject.CommonName; name != hostidentity.User(o.Node) {
		return nil, fmt.Errorf("the kubeconfig is for %s, and this host's is %s: make one with `virtctl host add %s`, or correct nodeName",
			name, hostidentity.User(o.Node), o.Node)
	}
	return config, nil
}

func (o *Options) manager(ctx context.Context, store certificate.Store) (certificate.Manager, error) {
	life := o.Lifetime
	if life == 0 {
		life = lifetime
	}
	m, err := certificate.NewManager(&certificate.Config{
		ClientsetFn: o.clientset, GetTemplate: func() *x509.CertificateRequest { return hostidentity.Request(o.Node) },
		SignerName: hostidentity.Signer, Usages: hostidentity.Usages(), RequestedCertificateLifetime: &life,
		CertificateStore: store, Name: "host-certificate", Ctx: &ctx,
	})
	if err != nil {
		return nil, fmt.Errorf("keeping the host's certificate: %w", err)
	}
	return m, nil
}

// clientset asks with the certificate that there is, and else with the kubeconfig's.
func (o *Options) clientset(current *tls.Certificate) (kubernetes.Interface, error) {
	config, err := o.connect()
	if err != nil {
		klog.Background().Error(err, "A certificate cannot be asked for")
		return nil, err
	}
	if current != nil {
		config = without(config)
		if config.CertData, config.KeyData, err = encode(current); err != nil {
			return nil, err
		}
	}
	return kubernetes.NewForConfig(config)
}

// without is the way to the API server alone, and nobody's identity.
func without(config *rest.Config) *rest.Config {
	out := rest.AnonymousClientConfig(config)
	out.QPS, out.Burst, out.UserAgent = config.QPS, config.Burst, config.UserAgent
	return out
}
