// Package signer signs what was approved, as kube-controller-manager does in a cluster
// and nothing does in a test's: it is its own controller.
package signer

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/controller/certificates/signer"
)

// longest is how long a certificate is valid that asks for no less.
const longest = 365 * 24 * time.Hour

// Start signs client certificates for the API server with the authority in two files
// until ctx ends.
func Start(ctx context.Context, config *rest.Config, certFile, keyFile string) error {
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(clientset, 0)
	controller, err := signer.NewKubeAPIServerClientCSRSigningController(ctx, clientset, factory.Certificates().V1().CertificateSigningRequests(), certFile, keyFile, longest)
	if err != nil {
		return fmt.Errorf("preparing the signer of certificates: %w", err)
	}
	factory.Start(ctx.Done())
	go controller.Run(ctx, 1)
	return nil
}
