// Package hostcertificate lets executors renew the certificates by which the API
// server knows them: who is a host already may be it for longer, and be nothing else.
package hostcertificate

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"domus.dev/domus/pkg/api/hostidentity"
)

// Reasons of the conditions Approved and Denied.
const (
	reasonOwnIdentity = "OwnIdentity"
	reasonNotOwn      = "NotOwnIdentity"
)

// Controller approves and denies executors' requests; those of others it leaves alone.
type Controller struct {
	cached client.Reader
	live   client.Client
}

// New returns a Controller that reads from cached and writes with live.
func New(cached client.Reader, live client.Client) *Controller {
	return &Controller{cached: cached, live: live}
}

// Register adds the controller to m.
func (c *Controller) Register(m manager.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named("host-certificate").For(&certificatesv1.CertificateSigningRequest{}).Complete(c)
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	csr := &certificatesv1.CertificateSigningRequest{}
	if err := c.cached.Get(ctx, req.NamespacedName, csr); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !hostidentity.Asks(csr) || decided(csr) {
		return reconcile.Result{}, nil
	}
	csr = csr.DeepCopy()
	csr.Status.Conditions = append(csr.Status.Conditions, verdict(csr))
	if err := c.live.SubResource("approval").Update(ctx, csr); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(fmt.Errorf("answering CertificateSigningRequest %s of %s: %w", csr.Name, csr.Spec.Username, err))
	}
	return reconcile.Result{}, nil
}

func decided(csr *certificatesv1.CertificateSigningRequest) bool {
	for _, c := range csr.Status.Conditions {
		if c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied {
			return true
		}
	}
	return false
}

// verdict is the condition that answers an executor's request. What is not its own
// is denied rather than left, so that the host says why it waits no longer.
func verdict(csr *certificatesv1.CertificateSigningRequest) certificatesv1.CertificateSigningRequestCondition {
	if err := hostidentity.Check(csr); err != nil {
		return certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue, Reason: reasonNotOwn, Message: err.Error(),
		}
	}
	return certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: reasonOwnIdentity,
		Message: "the executor asks for the identity that it has",
	}
}
