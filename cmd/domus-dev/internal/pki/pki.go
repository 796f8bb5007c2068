// Package pki makes the certificates of an embedded cluster, and the
// kubeconfigs that carry them. What exists and is valid is kept.
package pki

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	kubeadmapi "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/kubeconfig"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pkiutil"
)

// Authority signs certificates; its files are DIR/NAME.crt and DIR/NAME.key.
type Authority struct {
	dir  string
	name string
	cert *x509.Certificate
	key  crypto.Signer
}

// EnsureAuthority loads the authority, or makes one.
func EnsureAuthority(dir, name string) (*Authority, error) {
	if cert, key, err := pkiutil.TryLoadCertAndKeyFromDisk(dir, name); err == nil && valid(cert) {
		return &Authority{dir: dir, name: name, cert: cert, key: key}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for certificates: %w", err)
	}
	cert, key, err := pkiutil.NewCertificateAuthority(&pkiutil.CertConfig{
		Config:              certutil.Config{CommonName: name},
		EncryptionAlgorithm: kubeadmapi.EncryptionAlgorithmECDSAP256,
	})
	if err != nil {
		return nil, fmt.Errorf("making authority %s: %w", name, err)
	}
	if err := pkiutil.WriteCertAndKey(dir, name, cert, key); err != nil {
		return nil, fmt.Errorf("writing authority %s: %w", name, err)
	}
	return &Authority{dir: dir, name: name, cert: cert, key: key}, nil
}

// CertFile is the path of the authority's certificate.
func (a *Authority) CertFile() string {
	cert, _ := pkiutil.PathsForCertAndKey(a.dir, a.name)
	return cert
}

// EnsureServer makes a certificate for a server on loopback, usable by clients
// too (etcd's gateway dials itself with it), and returns its two files.
func (a *Authority) EnsureServer(name string) (certFile, keyFile string, err error) {
	return a.ensure(name, certutil.Config{
		CommonName: name,
		AltNames:   certutil.AltNames{DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}},
		Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// EnsureClient makes a client certificate and returns its two files.
func (a *Authority) EnsureClient(name string) (certFile, keyFile string, err error) {
	return a.ensure(name, certutil.Config{
		CommonName: name,
		Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *Authority) ensure(name string, config certutil.Config) (string, string, error) {
	certFile, keyFile := pkiutil.PathsForCertAndKey(a.dir, name)
	if cert, _, err := pkiutil.TryLoadCertAndKeyFromDisk(a.dir, name); err == nil && a.signed(cert) {
		return certFile, keyFile, nil
	}
	cert, key, err := a.sign(config)
	if err != nil {
		return "", "", fmt.Errorf("making certificate %s: %w", name, err)
	}
	if err := pkiutil.WriteCertAndKey(a.dir, name, cert, key); err != nil {
		return "", "", fmt.Errorf("writing certificate %s: %w", name, err)
	}
	return certFile, keyFile, nil
}

// Identity is who a kubeconfig's bearer is to the API server.
type Identity struct {
	// User is the certificate's common name.
	User string
	// Group is the certificate's organization.
	Group string
}

// EnsureKubeconfig writes a kubeconfig with a certificate for id, unless path
// holds a valid one for the same server already. The server is a URL.
func (a *Authority) EnsureKubeconfig(path, server string, id Identity) error {
	if a.kubeconfigValid(path, server, id) {
		return nil
	}
	cert, key, err := a.sign(certutil.Config{
		CommonName:   id.User,
		Organization: []string{id.Group},
		Usages:       []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("making a certificate for %s: %w", id.User, err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return fmt.Errorf("encoding the key of %s: %w", id.User, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder for kubeconfigs: %w", err)
	}
	config := kubeconfig.CreateWithCerts(server, "domus-dev", id.User, pkiutil.EncodeCertPEM(a.cert), keyPEM, pkiutil.EncodeCertPEM(cert))
	if err := kubeconfig.WriteToDisk(path, config); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func (a *Authority) kubeconfigValid(path, server string, id Identity) bool {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return false
	}
	cluster, user := config.Clusters["domus-dev"], config.AuthInfos[id.User]
	if cluster == nil || user == nil || cluster.Server != server {
		return false
	}
	certs, err := certutil.ParseCertsPEM(user.ClientCertificateData)
	if err != nil || !a.signed(certs[0]) {
		return false
	}
	org := certs[0].Subject.Organization
	return certs[0].Subject.CommonName == id.User && len(org) == 1 && org[0] == id.Group
}

func (a *Authority) sign(config certutil.Config) (*x509.Certificate, crypto.Signer, error) {
	return pkiutil.NewCertAndKey(a.cert, a.key, &pkiutil.CertConfig{
		Config:              config,
		EncryptionAlgorithm: kubeadmapi.EncryptionAlgorithmECDSAP256,
		NotAfter:            a.cert.NotAfter,
	})
}

// signed says whether cert is ours and will last for a while.
func (a *Authority) signed(cert *x509.Certificate) bool {
	return valid(cert) && cert.CheckSignatureFrom(a.cert) == nil
}

// valid asks for a month more, so that a cluster does not expire while it runs.
func valid(cert *x509.Certificate) bool {
	now := time.Now()
	return now.After(cert.NotBefore) && now.AddDate(0, 1, 0).Before(cert.NotAfter)
}

// EnsureServiceAccountKey makes the key with which the API server signs
// service account tokens, and returns its file.
func EnsureServiceAccountKey(dir string) (string, error) {
	path := filepath.Join(dir, "service-account.key")
	_, _, err := keyutil.LoadOrGenerateKeyFile(path)
	if err != nil {
		return "", fmt.Errorf("making the service account key: %w", err)
	}
	return path, nil
}
