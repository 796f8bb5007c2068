package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/certificate/csr"
	"k8s.io/client-go/util/keyutil"

	"domus.dev/domus/pkg/api/hostidentity"
	"domus.dev/domus/pkg/virtctl/failure"
)

// obtain has the cluster sign a certificate for the executor of the host node, which
// the caller approves, and returns it with its key as PEM.
func obtain(ctx context.Context, clientset kubernetes.Interface, node string, valid, timeout time.Duration) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	if key, err = keyutil.MarshalPrivateKeyToPEM(private); err != nil {
		return nil, nil, fmt.Errorf("encoding the key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, hostidentity.Request(node), private)
	if err != nil {
		return nil, nil, fmt.Errorf("making the certificate request: %w", err)
	}
	requests := clientset.CertificatesV1().CertificateSigningRequests()
	request, err := requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "domus-host-" + node + "-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: hostidentity.Signer,
			ExpirationSeconds: csr.DurationToExpirationSeconds(valid), Usages: hostidentity.Usages(),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, nil, failure.API(err, "asking for a certificate for host %s", node)
	}
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "HostAdded", Message: "approved by virtctl host add",
	})
	if _, err := requests.UpdateApproval(ctx, request.Name, request, metav1.UpdateOptions{}); err != nil {
		return nil, nil, failure.API(err, "approving certificate request %s", request.Name)
	}
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cert, err = csr.WaitForCertificate(waiting, clientset, request.Name, request.UID)
	switch {
	case err == nil:
		return cert, key, nil
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case errors.Is(waiting.Err(), context.DeadlineExceeded):
		return nil, nil, failure.TimedOut("certificate request %s was not signed within %s: is there a signer of %s, which kube-controller-manager is where it has the cluster's key?", request.Name, timeout, hostidentity.Signer)
	}
	return nil, nil, fmt.Errorf("waiting for certificate request %s: %w", request.Name, err)
}
