package hostidentity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
)

func asked(t *testing.T, template *x509.CertificateRequest) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestAnExecutorAsksForItsOwnIdentityAlone(t *testing.T) {
	other := Request("a")
	other.Subject.Organization = []string{Group, "system:masters"}
	named := Request("a")
	named.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
	for name, test := range map[string]struct {
		request []byte
		usages  []certificatesv1.KeyUsage
		want    string
	}{
		"its own":             {request: asked(t, Request("a")), usages: Usages()},
		"its own, by RSA":     {request: asked(t, Request("a")), usages: append(Usages(), certificatesv1.UsageKeyEncipherment)},
		"another host's":      {request: asked(t, Request("b")), usages: Usages(), want: "asks to be domus:executor:b"},
		"an administrator's":  {request: asked(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "domus:admin"}}), usages: Usages(), want: "asks to be domus:admin"},
		"another group too":   {request: asked(t, other), usages: Usages(), want: "organization must be"},
		"no group":            {request: asked(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: User("a")}}), usages: Usages(), want: "organization must be"},
		"for an address":      {request: asked(t, named), usages: Usages(), want: "no alternative names"},
		"for a server":        {request: asked(t, Request("a")), usages: append(Usages(), certificatesv1.UsageServerAuth), want: "not for server auth"},
		"no request":          {request: []byte("x"), want: "not one certificate request"},
		"two requests at one": {request: append(asked(t, Request("a")), asked(t, Request("b"))...), want: "not one certificate request"},
	} {
		t.Run(name, func(t *testing.T) {
			csr := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
				SignerName: Signer, Username: User("a"), Groups: []string{Group, "system:authenticated"}, Request: test.request, Usages: test.usages,
			}}
			if !Asks(csr) {
				t.Error("an executor's request is not seen as one")
			}
			err := Check(csr)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	for name, spec := range map[string]certificatesv1.CertificateSigningRequestSpec{
		"an administrator's":  {SignerName: Signer, Username: "domus:admin", Groups: []string{"system:masters"}},
		"another signer's":    {SignerName: certificatesv1.KubeletServingSignerName, Username: User("a"), Groups: []string{Group}},
		"without the group":   {SignerName: Signer, Username: User("a")},
		"a name that is like": {SignerName: Signer, Username: "x" + User("a"), Groups: []string{Group}},
	} {
		if Asks(&certificatesv1.CertificateSigningRequest{Spec: spec}) {
			t.Errorf("%s request is taken for an executor's", name)
		}
	}
}
