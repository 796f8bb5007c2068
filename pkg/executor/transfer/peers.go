package transfer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	dialTimeout = 10 * time.Second
	// stallTimeout is how long the kernel keeps a connection whose other end says
	// nothing.
	stallTimeout = 30 * time.Second
	// continueTimeout is how long a request that expects to be told to go on waits
	// for that.
	continueTimeout = time.Minute
)

// ErrStranger says that a caller is not who it would have to be.
var ErrStranger = errors.New("the caller is not that host's vm-executor")

// Peers are the other hosts, as their Hypervisors describe them. Hypervisors are
// read each time: a certificate is one process's.
type Peers struct {
	Live client.Reader
	// Identity is shown to those that are called; nil for none.
	Identity *Identity
}

// Call returns a client for the executor of the host node, and the URL under which
// it serves. Who is done closes the client's idle connections.
func (p *Peers) Call(ctx context.Context, node string) (*http.Client, string, error) {
	at, err := p.at(ctx, node)
	if err != nil {
		return nil, "", err
	}
	config, err := Trust(node, at.Certificate)
	if err != nil {
		return nil, "", err
	}
	if p.Identity != nil {
		config.Certificates = []tls.Certificate{p.Identity.certificate}
	}
	return Client(config), "https://" + at.Address, nil
}

// Client is an HTTP client for transfers: it follows no redirection and uses no
// proxy, and a transfer takes as long as it takes while the other end lives.
func Client(config *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: stallTimeout / 3, Interval: stallTimeout / 6, Count: 4,
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout, DisableCompression: true,
			ExpectContinueTimeout: continueTimeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (p *Peers) at(ctx context.Context, node string) (*v1alpha1.HostTransfer, error) {
	hv := &v1alpha1.Hypervisor{}
	err := p.Live.Get(ctx, types.NamespacedName{Name: node}, hv)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Hypervisor %s", node)
	case err != nil:
		return nil, fmt.Errorf("reading Hypervisor %s: %w", node, err)
	case hv.Status.Transfer == nil:
		return nil, fmt.Errorf("host %s exchanges no volumes: set transfer.bindAddress in its vm-executor's configuration", node)
	}
	return hv.Status.Transfer, nil
}

// Is says whether the request comes from the executor of the host node: nil, or
// ErrStranger, or why that cannot be known.
func (p *Peers) Is(ctx context.Context, node string, r *http.Request) error {
	at, err := p.at(ctx, node)
	if err != nil {
		return err
	}
	want, err := parse(at.Certificate)
	if err != nil {
		return fmt.Errorf("reading the certificate of host %s: %w", node, err)
	}
	// TLS has proved that the caller has the key of what it shows first.
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !bytes.Equal(r.TLS.PeerCertificates[0].Raw, want.Raw) {
		return fmt.Errorf("%w: %s", ErrStranger, node)
	}
	return nil
}
