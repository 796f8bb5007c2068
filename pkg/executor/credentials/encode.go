package credentials

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// encode is a certificate with its chain, and its key, as PEM.
func encode(c *tls.Certificate) (certificate, key []byte, err error) {
	var chain bytes.Buffer
	for _, der := range c.Certificate {
		if err := pem.Encode(&chain, &pem.Block{Type: cert.CertificateBlockType, Bytes: der}); err != nil {
			return nil, nil, fmt.Errorf("encoding the host's certificate: %w", err)
		}
	}
	if key, err = keyutil.MarshalPrivateKeyToPEM(c.PrivateKey); err != nil {
		return nil, nil, fmt.Errorf("encoding the host's key: %w", err)
	}
	return chain.Bytes(), key, nil
}
