package executor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"domus.dev/domus/pkg/executor/hostconfig"
)

// serveSecurely serves /metrics by TLS until stop is called, to whom the API server
// of cluster knows (TokenReview) and lets get /metrics (SubjectAccessReview). It is
// what kubelets do, and for the same reason: names of VMs are nobody else's
// business.
func serveSecurely(ctx context.Context, config *hostconfig.Configuration, cluster *rest.Config) (stop func(), err error) {
	// Without its own limit a page that is asked for would use up that of the
	// host's own requests.
	cluster = rest.CopyConfig(cluster)
	cluster.QPS, cluster.Burst = 5, 10
	httpClient, err := rest.HTTPClientFor(cluster)
	if err != nil {
		return nil, fmt.Errorf("preparing the client that is asked who may see metrics: %w", err)
	}
	// Tried first, so that an address that cannot be had is an error.
	listener, err := net.Listen("tcp", config.MetricsBindAddress)
	if err != nil {
		return nil, fmt.Errorf("serving at %s: %w: choose another address", config.MetricsBindAddress, err)
	}
	if err := listener.Close(); err != nil {
		return nil, fmt.Errorf("serving at %s: %w", config.MetricsBindAddress, err)
	}
	options := metricsserver.Options{
		BindAddress: config.MetricsBindAddress, SecureServing: true, CertDir: config.MetricsCertDir,
		FilterProvider: delegated,
	}
	if config.MetricsCertDir == "" {
		own, err := ownCertificate(config.Hosts[0].NodeName)
		if err != nil {
			return nil, err
		}
		options.TLSOpts = append(options.TLSOpts, func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own, nil }
		})
	}
	server, err := metricsserver.NewServer(options, cluster, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing to serve metrics: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Start(ctx); err != nil {
			klog.FromContext(ctx).Error(err, "Serving metrics ended", "address", config.MetricsBindAddress)
		}
	}()
	return func() { cancel(); <-ended }, nil
}

// ownCertificate is one that nobody has signed.
func ownCertificate(name string) (*tls.Certificate, error) {
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey(name, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for metrics: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for metrics: %w", err)
	}
	return &pair, nil
}
