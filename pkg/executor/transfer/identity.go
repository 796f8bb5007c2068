// Package transfer is how a host exchanges the bytes of volumes: with other hosts,
// and with people who have a ticket.
//
// Each host has a certificate that it makes itself when it starts, and says in its
// Hypervisor, which nobody else may write. Whoever reads it there knows the host
// again, by TLS alone and without any authority; and so one host knows another.
package transfer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	// certificateLife is how long a host's certificate is valid: it is trusted for
	// as long as its Hypervisor names it, and no executor runs that long.
	certificateLife = 10 * 365 * 24 * time.Hour
	// clockSkew is how far clocks of two hosts may be apart.
	clockSkew = time.Hour
)

// Identity is what a host shows when it is called, and when it calls.
type Identity struct {
	certificate tls.Certificate
	// PEM is the certificate as a Hypervisor has it.
	PEM string
}

// NewIdentity makes a host's identity: a key that never leaves the process, and a
// certificate for the name of its Node.
func NewIdentity(node string, now time.Time) (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of host %s: %w", node, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making the certificate of host %s: %w", node, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "vm-executor"}, DNSNames: []string{node},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of host %s: %w", node, err)
	}
	return &Identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		PEM:         string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	}, nil
}

// errNoCertificate is what is wrong with something else than a certificate in PEM.
var errNoCertificate = errors.New("there is no certificate in PEM")

// parse reads one certificate.
func parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errNoCertificate
	}
	return x509.ParseCertificate(block.Bytes)
}

// Trust is the TLS configuration of whoever calls the host node, which shows the
// certificate and no other.
func Trust(node, certificate string) (*tls.Config, error) {
	c, err := parse(certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of host %s: %w", node, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return &tls.Config{RootCAs: roots, ServerName: node, MinVersion: tls.VersionTLS13}, nil
}
