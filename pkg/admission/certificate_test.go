package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func newCluster(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, admissionregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "a"}, {Name: "b"}}}
	configuration.Name = WebhookConfiguration
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "c"}}}
	mutating.Name = WebhookConfiguration
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(configuration, mutating).Build()
}

// trusted verifies what c serves against the caBundle, for every name by which
// an API server may call.
func trusted(t *testing.T, cluster client.Client, c *Certificate) []byte {
	t.Helper()
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := cluster.Get(t.Context(), types.NamespacedName{Name: WebhookConfiguration}, configuration); err != nil {
		t.Fatal(err)
	}
	served, err := c.Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(served.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := cluster.Get(t.Context(), types.NamespacedName{Name: WebhookConfiguration}, mutating); err != nil {
		t.Fatal(err)
	}
	bundles := map[string][]byte{}
	for _, w := range configuration.Webhooks {
		bundles[w.Name] = w.ClientConfig.CABundle
	}
	for _, w := range mutating.Webhooks {
		bundles[w.Name] = w.ClientConfig.CABundle
	}
	for webhook, bundle := range bundles {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(bundle)
		for _, name := range []string{serviceName, "localhost", "127.0.0.1"} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
				t.Errorf("webhook %s called as %s: %v", webhook, name, err)
			}
		}
	}
	return served.Certificate[0]
}

// store puts a certificate into the Secret that is valid for so long.
func store(t *testing.T, cluster client.Client, age time.Duration) []byte {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKeyWithOptions(cert.SelfSignedCertKeyOptions{
		Host: serviceName, AlternateDNS: []string{"localhost"}, AlternateIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, MaxAge: age,
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{}
	if err := cluster.Get(t.Context(), types.NamespacedName{Namespace: SecretNamespace, Name: SecretName}, secret); err != nil {
		t.Fatal(err)
	}
	secret.Data = map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key}
	if err := cluster.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(certificate)
	return block.Bytes
}

// authorities counts what the API server trusts of the first webhook.
func authorities(t *testing.T, cluster client.Client) int {
	t.Helper()
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := cluster.Get(t.Context(), types.NamespacedName{Name: WebhookConfiguration}, configuration); err != nil {
		t.Fatal(err)
	}
	return bytes.Count(configuration.Webhooks[0].ClientConfig.CABundle, []byte("BEGIN CERTIFICATE"))
}

func TestCertificate(t *testing.T) {
	cluster := newCluster(t)
	clk := clocktesting.NewFakeClock(time.Now())
	first, second := NewCertificate(cluster, clk), NewCertificate(cluster, clk)
	if _, err := first.Get(&tls.ClientHelloInfo{}); err == nil {
		t.Error("a certificate was served before there was one")
	}
	for _, c := range []*Certificate{first, second} {
		if err := c.ensure(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	before := trusted(t, cluster, first)
	if string(before) != string(trusted(t, cluster, second)) {
		t.Error("two replicas serve two certificates")
	}

	t.Run("is renewed ahead of its end", func(t *testing.T) {
		before := store(t, cluster, renewAhead+2*time.Hour) // the first of them has passed
		for _, c := range []*Certificate{first, second} {
			if err := c.ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			if string(before) != string(trusted(t, cluster, c)) {
				t.Fatal("what is in the Secret is not served")
			}
		}
		clk.Step(2 * time.Hour)
		if err := first.ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if string(before) == string(trusted(t, cluster, first)) {
			t.Error("the certificate was not renewed")
		}
		// The other replica has not looked yet.
		if string(before) != string(trusted(t, cluster, second)) {
			t.Error("the other replica serves another certificate before it looked")
		}
		if err := second.ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if string(trusted(t, cluster, first)) != string(trusted(t, cluster, second)) {
			t.Error("two replicas serve two certificates")
		}
	})
	t.Run("the one before a renewal is not trusted for ever", func(t *testing.T) {
		if n := authorities(t, cluster); n != 2 {
			t.Errorf("%d authorities are trusted after a renewal", n)
		}
		clk.Step(renewAhead)
		if err := first.ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := authorities(t, cluster); n != 1 {
			t.Errorf("%d authorities are trusted when the one before has ended", n)
		}
	})
	t.Run("a broken Secret is made good", func(t *testing.T) {
		secret := &corev1.Secret{}
		if err := cluster.Get(t.Context(), types.NamespacedName{Namespace: SecretNamespace, Name: SecretName}, secret); err != nil {
			t.Fatal(err)
		}
		secret.Data[corev1.TLSCertKey] = []byte("nonsense")
		if err := cluster.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if err := first.ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		trusted(t, cluster, first)
	})
}
