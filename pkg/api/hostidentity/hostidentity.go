// Package hostidentity says by which certificate the API server knows a host's
// executor, and who may have one.
package hostidentity

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const (
	// UserPrefix and the name of the host's Node are the executor's user name.
	UserPrefix = "domus:executor:"
	// Group is that of all executors.
	Group = "domus:executors"
	// Signer signs certificates by which clients are known to the API server.
	Signer = certificatesv1.KubeAPIServerClientSignerName
)

// Usages are what a certificate with an ECDSA key is for.
func Usages() []certificatesv1.KeyUsage {
	return []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
}

// User is the name by which the API server knows the executor of the host node.
func User(node string) string { return UserPrefix + node }

// Request is what a certificate for the executor of the host node is asked for with.
func Request(node string) *x509.CertificateRequest {
	return &x509.CertificateRequest{Subject: pkix.Name{CommonName: User(node), Organization: []string{Group}}}
}

// Asks says whether a request was made by an executor, for whom a host's identity
// is all there is to ask for.
func Asks(csr *certificatesv1.CertificateSigningRequest) bool {
	return csr.Spec.SignerName == Signer && strings.HasPrefix(csr.Spec.Username, UserPrefix) && slices.Contains(csr.Spec.Groups, Group)
}

// Check says why an executor's request is not for just the identity that the
// executor has already; nil when it is.
func Check(csr *certificatesv1.CertificateSigningRequest) error {
	block, rest := pem.Decode(csr.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return errors.New("spec.request is not one certificate request in PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return fmt.Errorf("spec.request cannot be read: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return fmt.Errorf("spec.request is not signed with its own key: %w", err)
	}
	want := Request(strings.TrimPrefix(csr.Spec.Username, UserPrefix)).Subject
	switch s := request.Subject; {
	case s.CommonName != want.CommonName:
		return fmt.Errorf("%s asks to be %s: an executor may ask for its own host's certificate only", csr.Spec.Username, s.CommonName)
	case !slices.Equal(s.Organization, want.Organization):
		return fmt.Errorf("the organization must be %s alone, and is %q", Group, s.Organization)
	}
	if len(request.DNSNames)+len(request.IPAddresses)+len(request.EmailAddresses)+len(request.URIs) > 0 {
		return errors.New("a certificate of an executor has no alternative names")
	}
	allowed := append(Usages(), certificatesv1.UsageKeyEncipherment)
	for _, u := range csr.Spec.Usages {
		if !slices.Contains(allowed, u) {
			return fmt.Errorf("a certificate of an executor is not for %s", u)
		}
	}
	return nil
}
