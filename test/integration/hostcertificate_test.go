package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"

	"domus.dev/domus/pkg/api/hostidentity"
	"domus.dev/domus/pkg/executor/credentials"
	"domus.dev/domus/test/internal/signer"
)

// authority makes one that signs for these tests; what it signs the API server does
// not know.
func authority(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	g.Expect(err).NotTo(HaveOccurred())
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	g.Expect(err).NotTo(HaveOccurred())
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	g.Expect(os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(keyFile, encoded, 0o600)).To(Succeed())
	return certFile, keyFile
}

// ask makes a certificate request as another.
func ask(t *testing.T, as *rest.Config, template *x509.CertificateRequest, signerName string) (*certificatesv1.CertificateSigningRequest, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := clientset.CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: signerName, Usages: hostidentity.Usages(),
		},
	}, metav1.CreateOptions{})
	if err == nil {
		t.Cleanup(func() {
			_ = suite.clientset.CertificatesV1().CertificateSigningRequests().Delete(context.Background(), csr.Name, metav1.DeleteOptions{})
		})
	}
	return csr, err
}

// An executor has its certificate renewed, and is denied any other; requests of others
// are left to those whom they concern.
func TestHostsRenewTheirCertificates(t *testing.T) {
	g := NewWithT(t)
	startScheduler(t, schedulerOptions{})
	host, err := suite.plane.as(hostidentity.User("host-a"), hostidentity.Group)
	g.Expect(err).NotTo(HaveOccurred())
	named := hostidentity.Request("host-a")
	named.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
	verdict := func(csr *certificatesv1.CertificateSigningRequest) func() (string, error) {
		return func() (string, error) {
			now, err := suite.clientset.CertificatesV1().CertificateSigningRequests().Get(t.Context(), csr.Name, metav1.GetOptions{})
			var said []string
			for _, c := range now.Status.Conditions {
				said = append(said, string(c.Type)+" "+c.Message)
			}
			return strings.Join(said, "; "), err
		}
	}
	for name, test := range map[string]struct {
		template *x509.CertificateRequest
		want     string
	}{
		"its own":        {hostidentity.Request("host-a"), "Approved the executor asks for the identity that it has"},
		"another host's": {hostidentity.Request("host-b"), "Denied domus:executor:host-a asks to be domus:executor:host-b"},
		"with a name":    {named, "Denied a certificate of an executor has no alternative names"},
	} {
		csr, err := ask(t, host, test.template, hostidentity.Signer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		g.Eventually(verdict(csr)).WithTimeout(eventually).Should(HavePrefix(test.want), name)
	}
	// Of another signer's certificates a host has no use.
	if _, err := ask(t, host, hostidentity.Request("host-a"), certificatesv1.KubeletServingSignerName); !apierrors.IsForbidden(err) {
		t.Errorf("a host asks another signer: %v", err)
	}
	// An administrator's request for a host is the administrator's to approve.
	others, err := ask(t, suite.config, hostidentity.Request("host-a"), hostidentity.Signer)
	g.Expect(err).NotTo(HaveOccurred())
	g.Consistently(verdict(others)).WithTimeout(shortly).Should(BeEmpty())

	// vm-scheduler itself cannot approve it, whatever it is told.
	as, err := suite.plane.as("domus:scheduler", "domus:schedulers")
	g.Expect(err).NotTo(HaveOccurred())
	scheduler, err := kubernetes.NewForConfig(as)
	g.Expect(err).NotTo(HaveOccurred())
	others.Status.Conditions = append(others.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test", Message: "test",
	})
	_, err = scheduler.CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), others.Name, others, metav1.UpdateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "requests of executors") {
		t.Errorf("vm-scheduler approves an administrator's request: %v", err)
	}
}

// A host asks for a certificate of its own, keeps it across restarts, and refuses to be
// another with it.
func TestAHostKeepsItsCertificate(t *testing.T) {
	g := NewWithT(t)
	startScheduler(t, schedulerOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	certFile, keyFile := authority(t)
	g.Expect(signer.Start(ctx, suite.config, certFile, keyFile)).To(Succeed())
	host, err := suite.plane.as(hostidentity.User("host-c"), hostidentity.Group)
	g.Expect(err).NotTo(HaveOccurred())
	dir := filepath.Join(t.TempDir(), "pki")
	options := credentials.Options{Node: "host-c", Dir: dir, Connect: func() (*rest.Config, error) { return rest.CopyConfig(host), nil }}

	config, err := credentials.Keep(ctx, options)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config.CertData).To(BeEmpty(), "the kubeconfig's certificate is used on")
	first, err := os.ReadFile(config.CertFile)
	g.Expect(err).NotTo(HaveOccurred())
	block, _ := pem.Decode(first)
	cert, err := x509.ParseCertificate(block.Bytes)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(cert.Subject.CommonName).To(Equal("domus:executor:host-c"))
	if bytes.Contains(first, host.KeyData) {
		t.Error("the key that was brought along is used on")
	}
	info, err := os.Stat(config.KeyFile)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))

	// Started again it asks for nothing.
	again, err := credentials.Keep(ctx, options)
	g.Expect(err).NotTo(HaveOccurred())
	second, err := os.ReadFile(again.CertFile)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(second).To(Equal(first))

	// A copy of the disk is another host.
	copied := options
	copied.Node = "host-d"
	_, err = credentials.Keep(ctx, copied)
	g.Expect(err).To(MatchError(ContainSubstring("has a certificate of domus:executor:host-c, and this host's is domus:executor:host-d")))
	copied.Dir = filepath.Join(t.TempDir(), "pki")
	_, err = credentials.Keep(ctx, copied)
	g.Expect(err).To(MatchError(ContainSubstring("make one with `virtctl host add host-d`")))
}

// A host that was off until its certificate had ended asks for another with its
// kubeconfig.
func TestAHostWhoseCertificateHasEndedAsksForAnother(t *testing.T) {
	g := NewWithT(t)
	startScheduler(t, schedulerOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	certFile, keyFile := authority(t)
	g.Expect(signer.Start(ctx, suite.config, certFile, keyFile)).To(Succeed())
	host, err := suite.plane.as(hostidentity.User("host-e"), hostidentity.Group)
	g.Expect(err).NotTo(HaveOccurred())
	dir := filepath.Join(t.TempDir(), "pki")
	// What it has of before.
	g.Expect(os.MkdirAll(dir, 0o700)).To(Succeed())
	old := ended(t, "host-e", certFile, keyFile)
	g.Expect(os.WriteFile(filepath.Join(dir, "vm-executor-old.pem"), old, 0o600)).To(Succeed())
	g.Expect(os.Symlink(filepath.Join(dir, "vm-executor-old.pem"), filepath.Join(dir, "vm-executor-current.pem"))).To(Succeed())
	config, err := credentials.Keep(ctx, credentials.Options{Node: "host-e", Dir: dir, Connect: func() (*rest.Config, error) { return rest.CopyConfig(host), nil }})
	g.Expect(err).NotTo(HaveOccurred())
	now, err := os.ReadFile(config.CertFile)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(now).NotTo(Equal(old))
}

// ended is a certificate that has ended, with its key.
func ended(t *testing.T, node, certFile, keyFile string) []byte {
	t.Helper()
	g := NewWithT(t)
	data, err := os.ReadFile(certFile)
	g.Expect(err).NotTo(HaveOccurred())
	block, _ := pem.Decode(data)
	ca, err := x509.ParseCertificate(block.Bytes)
	g.Expect(err).NotTo(HaveOccurred())
	signing, err := keyutil.PrivateKeyFromFile(keyFile)
	g.Expect(err).NotTo(HaveOccurred())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: hostidentity.Request(node).Subject,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, key.Public(), signing)
	g.Expect(err).NotTo(HaveOccurred())
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	g.Expect(err).NotTo(HaveOccurred())
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), encoded...)
}
