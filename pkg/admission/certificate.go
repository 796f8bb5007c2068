package admission

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Where the certificate is kept, and who must trust it: the validating and the
// mutating configuration of this name.
const (
	SecretNamespace      = "domus-system"
	SecretName           = "vm-scheduler-webhook"
	WebhookConfiguration = "vm-scheduler.domus.dev"
	// serviceName is the DNS name by which the API server calls the webhook in
	// a cluster; where it runs beside the API server the address is loopback.
	serviceName = "vm-scheduler-webhook.domus-system.svc"
)

const (
	validFor   = 365 * 24 * time.Hour
	renewAhead = 30 * 24 * time.Hour
	// checkEvery bounds how long a wiped caBundle or a certificate renewed by
	// another replica goes unnoticed.
	checkEvery = 30 * time.Second
	// previousKey is what of the Secret has the authority before a renewal. The API
	// server trusts it as well until it ends, since another replica serves what it
	// signed for as long as checkEvery.
	previousKey = "previous-ca.crt"
)

// Certificate keeps the serving certificate of vm-scheduler's webhooks: made when there is none,
// renewed ahead of time, shared by the replicas through one Secret, and trusted
// by the API server through caBundle.
type Certificate struct {
	client  client.Client
	clock   clock.WithTicker
	current atomic.Pointer[tls.Certificate]
}

// NewCertificate returns a Certificate that reads and writes with c, which must
// not be cached.
func NewCertificate(c client.Client, clk clock.WithTicker) *Certificate {
	return &Certificate{client: c, clock: clk}
}

// Get is a tls.Config's GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if current := c.current.Load(); current != nil {
		return current, nil
	}
	return nil, errors.New("the webhook's certificate is not ready yet")
}

// NeedLeaderElection says that every replica serves the webhook.
func (c *Certificate) NeedLeaderElection() bool { return false }

// Start keeps the certificate until ctx ends. An API server that cannot be
// reached is tried again.
func (c *Certificate) Start(ctx context.Context) error {
	logger := klog.FromContext(ctx).WithName("webhook-certificate")
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		retry := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Cap: 10 * time.Second, Steps: 8, Jitter: 0.2}
		err := wait.ExponentialBackoffWithContext(ctx, retry, func(ctx context.Context) (bool, error) {
			if err := c.ensure(ctx); err != nil {
				logger.Error(err, "Keeping the webhook's certificate; trying again")
				return false, nil
			}
			return true, nil
		})
		if err != nil && ctx.Err() == nil {
			logger.Error(err, "Keeping the webhook's certificate")
		}
	}, checkEvery)
	return nil
}

func (c *Certificate) ensure(ctx context.Context) error {
	secret, err := c.secret(ctx)
	if err != nil {
		return err
	}
	certificate := secret.Data[corev1.TLSCertKey]
	authority, err := authorityOf(certificate)
	if err != nil {
		return err
	}
	if previous := secret.Data[previousKey]; valid(previous, c.clock.Now()) {
		authority = append(authority, previous...)
	}
	if err := trust(ctx, c.client, authority); err != nil {
		return err
	}
	parsed, err := tls.X509KeyPair(certificate, secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("reading Secret %s/%s: %w", SecretNamespace, SecretName, err)
	}
	c.current.Store(&parsed)
	return nil
}

// secret returns the Secret, with certificate and key made anew when they are
// missing, unreadable or close to their end. When two replicas make one at a
// time, the second write conflicts and the next round reads the first's.
func (c *Certificate) secret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := c.client.Get(ctx, types.NamespacedName{Namespace: SecretNamespace, Name: SecretName}, secret)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", SecretNamespace, SecretName, err)
	}
	missing := err != nil
	before := secret.Data[corev1.TLSCertKey]
	if !missing && usable(before, secret.Data[corev1.TLSPrivateKeyKey], c.clock.Now()) {
		return secret, nil
	}
	certificate, key, err := cert.GenerateSelfSignedCertKeyWithOptions(cert.SelfSignedCertKeyOptions{
		Host:         serviceName,
		AlternateDNS: []string{"localhost", serviceName + ".cluster.local"},
		AlternateIPs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		MaxAge:       validFor,
	})
	if err != nil {
		return nil, fmt.Errorf("making the webhook's certificate: %w", err)
	}
	secret.Namespace, secret.Name = SecretNamespace, SecretName
	secret.Data = map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key}
	// A Secret that was deleted or spoiled leaves none: who does that wants the old one
	// trusted no more.
	if previous, err := authorityOf(before); err == nil && valid(previous, c.clock.Now()) {
		secret.Data[previousKey] = previous
	}
	if missing {
		secret.Type = corev1.SecretTypeTLS
		err = c.client.Create(ctx, secret)
	} else {
		err = c.client.Update(ctx, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("writing Secret %s/%s: %w", SecretNamespace, SecretName, err)
	}
	return secret, nil
}

// valid says whether PEM has a certificate that has not ended.
func valid(data []byte, now time.Time) bool {
	block, _ := pem.Decode(data)
	if block == nil {
		return false
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	return err == nil && now.Before(parsed.NotAfter)
}

// usable says whether the pair fits and is not close to its end.
func usable(certificate, key []byte, now time.Time) bool {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return false
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	return err == nil && now.Add(renewAhead).Before(leaf.NotAfter)
}

// authorityOf returns the last certificate of a chain, which signed the others.
func authorityOf(chain []byte) ([]byte, error) {
	var last *pem.Block
	for rest := chain; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		last = block
	}
	if last == nil {
		return nil, fmt.Errorf("the certificate in Secret %s/%s is not PEM: delete the Secret, it is made anew", SecretNamespace, SecretName)
	}
	return pem.EncodeToMemory(last), nil
}
